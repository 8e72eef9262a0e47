// Package record holds the encodings of what a channel's log keeps: the body of a
// head and the body of a message. Every body starts with a byte that names its
// format, carries a checksum that binds it to its place, and is read back strictly:
// bytes are either what was written there or an error.
package record

import (
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
const window = 4 << 20

var (
	// ErrCorrupt says that stored bytes fail their checksum or can't be decoded.
	ErrCorrupt = errors.New("stored bytes are damaged")

	// ErrFormat says that stored bytes are of a format that this version doesn't know.
	ErrFormat = errors.New("stored in an unknown format")

	// ErrTooLarge says that a value has more than MaxPlain bytes.
	ErrTooLarge = fmt.Errorf("value has more than %d bytes", MaxPlain)
)

// Codec compresses and decompresses values. Its methods are safe for concurrent use.
// The first use of each direction allocates: some 20 MB for two encoders and
// less for two decoders, which all users of a Codec share.
type Codec struct {
	once    sync.Once
	encoder *zstd.Encoder
	decoder *zstd.Decoder
	err     error
}

func (c *Codec) init() error {
	c.once.Do(func() {
		c.encoder, c.err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2),
			zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderCRC(false)) // every body has a checksum of its own
		if c.err == nil {
			c.decoder, c.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2),
				zstd.WithDecoderMaxMemory(MaxPlain), zstd.WithDecoderLowmem(true))
		}
	})
	return c.err
}

// Pack returns plain's length as a varint, then plain compressed.
func (c *Codec) Pack(plain []byte) ([]byte, error) {
	if len(plain) > MaxPlain {
		return nil, ErrTooLarge
	}
	if err := c.init(); err != nil {
		return nil, err
	}
	b := binary.AppendUvarint(make([]byte, 0, len(plain)/8+64), uint64(len(plain)))
	return c.encoder.EncodeAll(plain, b), nil
}

// unpack undoes Pack.
func (c *Codec) unpack(packed []byte) ([]byte, error) {
	length, n := binary.Uvarint(packed)
	if n <= 0 || length > MaxPlain {
		return nil, fmt.Errorf("%w: length of a value", ErrCorrupt)
	}
	if err := c.init(); err != nil {
		return nil, err
	}
	// The length is only believed as far as the bytes can plausibly hold.
	room := min(length, uint64(len(packed))*64)
	plain, err := c.decoder.DecodeAll(packed[n:], make([]byte, 0, room))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if uint64(len(plain)) != length {
		return nil, fmt.Errorf("%w: value has %d bytes instead of %d", ErrCorrupt, len(plain), length)
	}
	return plain, nil
}
