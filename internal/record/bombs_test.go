package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// frame returns a zstd frame of so many equal bytes, 4 bytes for each 128 KiB, that says it has said.
func frame(said, really int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0} // single segment, 4 bytes of content size
	b = binary.LittleEndian.AppendUint32(b, uint32(said))
	for {
		n := min(really, 128<<10)
		really -= n
		header := uint32(n)<<3 | 1<<1 // repeated
		if really == 0 {
			header |= 1 // the last block
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16), 'x')
		if really == 0 {
			return b
		}
	}
}

func packed(length uint64, frames ...[]byte) []byte {
	return append(binary.AppendUvarint(nil, length), bytes.Join(frames, nil)...)
}

// overhead is what opening a small value takes: a decoder, when none is idle.
const overhead = 4 << 20

// TestBombsAreRefused: what says little and holds much, or says much and holds little, is refused
// before it takes more memory than is stated.
func TestBombsAreRefused(t *testing.T) {
	const mib = 1 << 20
	var c Codec
	for _, harmless := range [][]byte{frame(mib, mib), unsaid(mib)} {
		if b, err := c.unpack(packed(mib, harmless), nil); err != nil || len(b) != mib {
			t.Fatalf("what is no bomb: %d bytes, %v", len(b), err)
		}
	}
	for name, bomb := range map[string]struct {
		packed []byte
		bound  uint64
	}{
		"says little, its frame much":       {packed(10, frame(64*mib, 64*mib)), 0},
		"says little, and holds much":       {packed(10, frame(10, 64*mib)), 0},
		"says much and holds nothing":       {packed(MaxPlain), 0},
		"says much and holds little":        {packed(MaxPlain, frame(mib, mib)), 0},
		"its frame says much":               {packed(mib, frame(64*mib, mib)), mib},
		"says more than may be":             {packed(MaxPlain+1, frame(64*mib, 64*mib)), 0},
		"says far more than may be":         {packed(math.MaxUint64, frame(64*mib, 64*mib)), 0},
		"many frames":                       {packed(mib, frame(mib, mib), frame(64*mib, 64*mib), frame(64*mib, 64*mib)), mib},
		"many frames that say nothing":      {packed(mib, unsaid(mib), unsaid(64*mib)), mib},
		"a frame that doesn't say its size": {packed(10, unsaid(64*mib)), 0},
		"a window of 2 GiB":                 {packed(10, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8, 0x53, 0, 0, 'x'}), 0},
	} {
		var err error
		if n := allocated(func() { _, err = c.unpack(bomb.packed, nil) }); n > bomb.bound+overhead {
			t.Errorf("%s: %d bytes allocated for %d", name, n, len(bomb.packed))
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

// unsaid is a frame like frame's that doesn't say how much it holds.
func unsaid(n int) []byte {
	b := frame(0, n)
	return append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x38}, b[9:]...)
}

// TestTheLargestValueFitsTheBound: it is opened, in the memory that is stated.
func TestTheLargestValueFitsTheBound(t *testing.T) {
	var c Codec
	plain := make([]byte, MaxPlain)
	b, err := c.Pack(plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	if n := allocated(func() { got, err = c.unpack(b, nil) }); n > MaxPlain+overhead {
		t.Errorf("%d bytes allocated", n)
	}
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestASkeletonTakesWhatIsThere: one around more messages than it has lengths for is refused, and the
// largest one is opened, in the memory that is stated.
func TestASkeletonTakesWhatIsThere(t *testing.T) {
	var c Codec
	plain := Skeleton(make([][]byte, MaxBuffered+1))
	b, err := c.Pack(plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := allocated(func() { _, err = c.OpenSkeleton(b, MaxBuffered+1, nil) }); n > uint64(len(plain))+overhead || !errors.Is(err, ErrCorrupt) {
		t.Errorf("more messages than lengths: %v, %d bytes allocated", err, n)
	}
	var literals [][]byte
	if n := allocated(func() { literals, err = c.OpenSkeleton(b, MaxBuffered, nil) }); n > uint64(len(plain))+32*MaxBuffered+overhead {
		t.Errorf("%d bytes allocated", n)
	}
	if err != nil || len(literals) != MaxBuffered+1 {
		t.Fatalf("the largest skeleton: %v", err)
	}
	if _, err := Join([][]byte{nil, nil}, [][]byte{make([]byte, MaxPlain+1)}); err == nil {
		t.Error("a snapshot of more than MaxPlain bytes")
	}
}

// TestOffsetsAreBounded: a few bytes can name many offsets, but no more than a snapshot may have.
func TestOffsetsAreBounded(t *testing.T) {
	at := store.Head{Next: 1 << 40}
	run := func(count uint64) []byte { return binary.AppendUvarint(binary.AppendVarint(nil, 0), count) }
	var all []uint64
	var err error
	if n := allocated(func() { all, err = openOffsets(run(MaxBuffered), at) }); n > 64*MaxBuffered {
		t.Errorf("%d bytes allocated", n)
	}
	if err != nil || len(all) != MaxBuffered {
		t.Errorf("as many as may be: %d, %v", len(all), err)
	}
	for name, b := range map[string][]byte{"one more": run(MaxBuffered + 1), "far more": run(1 << 39), "endless": run(math.MaxUint64),
		"again and again": bytes.Repeat(run(MaxBuffered/2), 3)} {
		if n := allocated(func() { _, err = openOffsets(b, at) }); n > 64*MaxBuffered || !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, %d bytes allocated", name, err, n)
		}
	}
}

// TestAgainstIsBounded: a message can't be packed against more than a few, nor later ones.
func TestAgainstIsBounded(t *testing.T) {
	for _, count := range []uint64{MaxDictionaries + 1, math.MaxUint64} {
		b := binary.AppendUvarint(nil, count)
		b = append(b, bytes.Repeat([]byte{1}, 1<<20)...)
		var err error
		if n := allocated(func() { _, _, err = cutAgainst(b, 1<<40) }); n > 64<<10 || !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d messages: %v, %d bytes allocated", count, err, n)
		}
	}
}

// TestASizeIsBounded: what a head or a manifest refers to is at most so large, and not empty: an archive takes
// 0 for any size.
func TestASizeIsBounded(t *testing.T) {
	for size, want := range map[int64]bool{0: false, 1: true, MaxSegment: true, MaxSegment + 1: false, -1: false, math.MaxInt64: false} {
		m := &Manifest{State: Written, Size: size}
		m.History.Add(seg.From)
		if _, err := openManifest(m.Body(key, seg), seg); (err == nil) != want {
			t.Errorf("a segment of %d bytes: %v", size, err)
		}
	}
	for size, want := range map[int64]bool{0: false, 1: true, MaxPlain: true, MaxPlain + 1: false, -1: false, math.MaxInt64: false} {
		if _, err := openValue((&Value{Size: size}).append(nil)); (err == nil) != want {
			t.Errorf("a value of %d bytes: %v", size, err)
		}
	}
}
