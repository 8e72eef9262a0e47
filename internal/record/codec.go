// Package record holds the encodings of what a channel's log keeps: the body of a
// head and the body of a message. Every body starts with a byte that names its
// format, carries a checksum that binds it to its place, and is read back strictly:
// bytes are either what was written there or an error.
package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// MaxPlain is the largest value, in bytes before compression, that is stored or read
// back. It bounds what a decoder allocates for one value, whatever the stored bytes
// claim.
const MaxPlain = 64 << 20

// window is how far back a match may lie. Messages of one snapshot repeat each other's
// bloom filters, so it spans the larger snapshots; what an encoder allocates grows
// with it.
const window = 1 << 20

// level is zstd's fastest: better ones make a message against a dictionary 2 to 3 % smaller, and take
// 5 to 20 times as long, most of it to prepare for the dictionary.
const level = zstd.SpeedFastest

var (
	// ErrCorrupt says that stored bytes fail their checksum or can't be decoded.
	ErrCorrupt = errors.New("not as it was written")

	// ErrFormat says that stored bytes are of a format that this version doesn't know.
	ErrFormat = errors.New("stored in an unknown format")

	// ErrTooLarge says that a value has more than MaxPlain bytes.
	ErrTooLarge = fmt.Errorf("value has more than %d bytes", MaxPlain)
)

// Codec compresses and decompresses values, by themselves or against a dictionary: earlier
// messages, which share most of their bytes. Its methods are safe for concurrent use. It keeps
// up to two encoders of each kind and two decoders, some MB each, which all users of a Codec share;
// more at once are made and thrown away.
type Codec struct {
	mu       sync.Mutex         // protects what follows
	encoders [2][]*zstd.Encoder // without a dictionary, and with one: they have other tables
	decoders []*zstd.Decoder
}

const (
	maxIdle = 2       // encoders, and decoders
	maxKept = 2 << 20 // bytes of the dictionary that one keeps when it is idle: of a larger one it goes
)

func (c *Codec) encoder(kind int) (*zstd.Encoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.encoders[kind]); n > 0 {
		e := c.encoders[kind][n-1]
		c.encoders[kind] = c.encoders[kind][:n-1]
		return e, nil
	}
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false)) // every body has a checksum of its own
}

func (c *Codec) decoder() (*zstd.Decoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.decoders); n > 0 {
		d := c.decoders[n-1]
		c.decoders = c.decoders[:n-1]
		return d, nil
	}
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(MaxPlain), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
}

// dictionaryID names the dictionary in a frame. There is one at most, and the body says
// which.
const dictionaryID = 1

// Pack returns plain's length as a varint, then plain compressed, against a dictionary
// unless that is empty.
func (c *Codec) Pack(plain, dictionary []byte) ([]byte, error) {
	if len(plain) > MaxPlain {
		return nil, ErrTooLarge
	}
	kind := 0
	if len(dictionary) > 0 {
		kind = 1
	} else if len(plain) <= maxStored {
		return asIs(plain), nil
	}
	e, err := c.encoder(kind)
	if err != nil {
		return nil, err
	}
	b := binary.AppendUvarint(make([]byte, 0, len(plain)/8+64), uint64(len(plain)))
	if kind == 0 {
		b = e.EncodeAll(plain, b)
	} else if b, err = against(e, dictionary, plain, b); err != nil {
		return nil, err
	}
	if len(dictionary) > maxKept {
		return b, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.encoders[kind]) < maxIdle {
		c.encoders[kind] = append(c.encoders[kind], e)
	}
	return b, nil
}

// maxStored is the size up to which a value without a dictionary isn't compressed: a write unit
// holds it anyway, and to compress it takes longer than the rest of a commit's encoding.
const maxStored = 255

// asIs returns what Pack does, with plain in one block of a frame that isn't compressed.
// https://datatracker.ietf.org/doc/html/rfc8878#section-3.1.1
func asIs(plain []byte) []byte {
	b := binary.AppendUvarint(make([]byte, 0, len(plain)+16), uint64(len(plain)))
	b = binary.LittleEndian.AppendUint32(b, 0xFD2FB528) // magic number
	b = append(b, 1<<5, byte(len(plain)))               // a single segment, of that size
	last, size := 1, len(plain)<<3
	b = append(b, byte(last|size), byte(size>>8), byte(size>>16)) //nolint:gosec // the bytes of a number
	return append(b, plain...)
}

// against appends plain compressed against a dictionary. It writes a stream, for EncodeAll would
// prepare another encoder for the dictionary, and that is most of the work.
func against(e *zstd.Encoder, dictionary, plain, b []byte) ([]byte, error) {
	to := bytes.NewBuffer(b)
	if err := e.ResetWithOptions(to, zstd.WithEncoderDictRaw(dictionaryID, dictionary)); err != nil {
		return nil, err
	}
	if _, err := e.Write(plain); err != nil {
		return nil, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	return to.Bytes(), nil
}

// maxRatio is how many bytes one byte of zstd can stand for: the least block of the largest size, 128
// KiB, has a header of 3 bytes and 1 byte that is repeated.
// https://datatracker.ietf.org/doc/html/rfc8878#section-3.1.1.2
const maxRatio = 128 << 10 / 4

// unpack undoes Pack. Beside its decoder, some MB that are used again, it allocates as many bytes as
// packed says that there are: at most MaxPlain, and at most maxRatio for each byte that is there. What would
// decompress to more is refused as soon as it has more.
func (c *Codec) unpack(packed, dictionary []byte) ([]byte, error) {
	length, n := binary.Uvarint(packed)
	if n <= 0 || length > MaxPlain || length > uint64(len(packed))*maxRatio {
		return nil, fmt.Errorf("%w: length of a value", ErrCorrupt)
	}
	d, err := c.decoder()
	if err != nil {
		return nil, err
	}
	option := zstd.WithDecoderDictDelete()
	if len(dictionary) > 0 {
		option = zstd.WithDecoderDictRaw(dictionaryID, dictionary)
	}
	if err := d.ResetWithOptions(nil, option); err != nil {
		return nil, err
	}
	plain, err := d.DecodeAll(packed[n:], make([]byte, 0, length)) // which it doesn't pass
	c.mu.Lock()
	if len(c.decoders) < maxIdle && len(dictionary) <= maxKept {
		c.decoders = append(c.decoders, d)
	} else {
		defer d.Close()
	}
	c.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if uint64(len(plain)) != length {
		return nil, fmt.Errorf("%w: value has %d bytes instead of %d", ErrCorrupt, len(plain), length)
	}
	return plain, nil
}
