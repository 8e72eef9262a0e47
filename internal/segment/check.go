package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/sdsaws/sdsaws/store"
)

// What a segment may hold, and so what a reader allocates because a file says so. Encode keeps to it.
const (
	maxFooter  = 64 << 10 // bytes
	maxRows    = 1 << 20  // as many as a manifest names
	maxEntries = 1 << 20  // elements of all lists of a column
	maxDecoded = 1 << 30  // bytes of all pages, not compressed
	maxPlain   = maxDecoded/2 - 64<<20
)

// check reports whether the Parquet reader, which believes what a file says, takes no more memory for it
// than the limits allow: it goes through all that the reader allocates by. It returns the size of the
// largest dictionary. For itself it takes one page at a time.
func check(b []byte) (dictionary int, err error) {
	footer, err := footerOf(b)
	if err != nil {
		return 0, err
	}
	var meta format.FileMetaData
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), footer, &meta); err != nil {
		return 0, err
	}
	if meta.NumRows < 0 || meta.NumRows > maxRows || len(meta.RowGroups) > 1 {
		return 0, fmt.Errorf("%d rows in %d groups", meta.NumRows, len(meta.RowGroups))
	}
	if want, err := schema(); err != nil || !slices.EqualFunc(meta.Schema, want, func(x, y format.SchemaElement) bool { return reflect.DeepEqual(x, y) }) {
		return 0, errors.Join(errors.New("columns of another kind"), err)
	}
	left := maxDecoded
	for _, g := range meta.RowGroups {
		for i := range g.Columns {
			c := &chunk{file: b, meta: &g.Columns[i].MetaData, left: &left, dictionary: &dictionary}
			if err := c.check(); err != nil {
				return 0, fmt.Errorf("column %d: %w", i, err)
			}
		}
	}
	return dictionary, nil
}

// schema returns the columns of every segment.
var schema = sync.OnceValues(func() ([]format.SchemaElement, error) {
	b, err := Encode(store.Key{}, time.Time{}, nil)
	if err != nil {
		return nil, err
	}
	footer, err := footerOf(b)
	if err != nil {
		return nil, err
	}
	var meta format.FileMetaData
	err = thrift.Unmarshal(new(thrift.CompactProtocol), footer, &meta)
	return meta.Schema, err
})

// footerOf returns the footer of a file, whose lists and texts are no longer than it is.
func footerOf(b []byte) ([]byte, error) {
	if len(b) < trailer+4 {
		return nil, fmt.Errorf("%d bytes", len(b))
	}
	size := int64(binary.LittleEndian.Uint32(b[len(b)-trailer:]))
	if size > maxFooter || size > int64(len(b)-trailer-4) {
		return nil, fmt.Errorf("a footer of %d bytes", size)
	}
	footer := b[int64(len(b)-trailer)-size : len(b)-trailer]
	if n, err := structSize(footer, 0); err != nil || n != len(footer) {
		return nil, fmt.Errorf("footer: %w", errThrift)
	}
	return footer, nil
}

// chunk is a column of a row group.
type chunk struct {
	file             []byte
	meta             *format.ColumnMetaData
	left, dictionary *int
	values           int
}

// check goes through the pages of the column.
func (c *chunk) check() error {
	if c.meta.Codec != format.Zstd {
		return fmt.Errorf("compressed by %v", c.meta.Codec)
	}
	pos := c.meta.DataPageOffset
	if c.meta.DictionaryPageOffset != 0 {
		pos = c.meta.DictionaryPageOffset
	}
	size := c.meta.TotalCompressedSize
	if pos < 0 || size < 0 || pos > int64(len(c.file)) || size > int64(len(c.file))-pos {
		return fmt.Errorf("%d bytes at %d", size, pos)
	}
	for rest := c.file[pos : pos+size]; len(rest) > 0; {
		n, err := structSize(rest, 0)
		if err != nil {
			return err
		}
		var h format.PageHeader
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), rest[:n], &h); err != nil {
			return err
		}
		rest = rest[n:]
		if h.CompressedPageSize < 0 || int(h.CompressedPageSize) > len(rest) {
			return fmt.Errorf("a page of %d bytes", h.CompressedPageSize)
		}
		if err := c.page(&h, rest[:h.CompressedPageSize]); err != nil {
			return err
		}
		rest = rest[h.CompressedPageSize:]
	}
	return nil
}

func (c *chunk) page(h *format.PageHeader, page []byte) error {
	size := int(h.UncompressedPageSize)
	if *c.left -= size; size < 0 || *c.left < 0 {
		return fmt.Errorf("more than %d bytes", maxDecoded)
	}
	switch {
	case h.Type == format.DictionaryPage && h.DictionaryPageHeader.Valid:
		*c.dictionary = max(*c.dictionary, size)
		return c.dictionaryPage(&h.DictionaryPageHeader.V, page, size)
	case h.Type == format.DataPageV2 && h.DataPageHeaderV2.Valid:
		return c.dataPage(&h.DataPageHeaderV2.V, page, size)
	}
	return fmt.Errorf("a page of type %v", h.Type)
}

// dictionaryPage has texts, each with 4 bytes for its length. Only what is often the same has one.
func (c *chunk) dictionaryPage(h *format.DictionaryPageHeader, page []byte, size int) error {
	if p := c.meta.PathInSchema; len(p) != 1 || p[0] != "namespace" && p[0] != "channel" && p[0] != "sender_id" {
		return fmt.Errorf("a dictionary")
	}
	if h.NumValues < 0 || int(h.NumValues) > size/4 || h.Encoding != format.Plain {
		return fmt.Errorf("a dictionary of %d values", h.NumValues)
	}
	return decompressed(page, size, func([]byte) error { return nil })
}

func (c *chunk) dataPage(h *format.DataPageHeaderV2, page []byte, size int) error {
	values, nulls := int(h.NumValues), int(h.NumNulls)
	if c.values += max(values, 0); values < 0 || nulls < 0 || nulls > values || c.values > maxRows+maxEntries {
		return fmt.Errorf("%d values", c.values)
	}
	levels := int64(h.RepetitionLevelsByteLength) + int64(h.DefinitionLevelsByteLength)
	if h.RepetitionLevelsByteLength < 0 || h.DefinitionLevelsByteLength < 0 || levels > int64(min(len(page), size)) {
		return fmt.Errorf("levels of %d bytes", levels)
	}
	r := h.RepetitionLevelsByteLength
	for _, l := range [][]byte{page[:r], page[r:levels]} {
		if err := runs(l, values, 1); err != nil {
			return err
		}
	}
	inside := func(b []byte) error { return encoded(h.Encoding, b, values) }
	page, size = page[levels:], size-int(levels)
	if h.IsCompressed.Valid && !h.IsCompressed.V {
		return inside(page)
	}
	return decompressed(page, size, inside)
}

// encoded checks how many values are in a page.
func encoded(e format.Encoding, b []byte, values int) error {
	switch e {
	case format.Plain:
		return nil
	case format.RLEDictionary:
		if len(b) == 0 {
			return nil
		}
		return runs(b[1:], values, int(b[0]))
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		var total uint64
		for range 3 { // size of a block, number of its parts, number of values
			n := 0
			if total, n = binary.Uvarint(b); n <= 0 {
				return fmt.Errorf("a header of %v", e)
			}
			b = b[n:]
		}
		if total > uint64(values) { //nolint:gosec // not below 0
			return fmt.Errorf("%d values in a page of %d", total, values)
		}
		return nil
	}
	return fmt.Errorf("encoded as %v", e)
}

// runs checks how many values runs have, each of so many bits: runs of equal values, and of packed
// ones, 8 at a time.
func runs(b []byte, values, width int) error {
	for total := uint64(0); len(b) > 0; {
		u, n := binary.Uvarint(b)
		count, size := u>>1, (width+7)/8
		if u&1 != 0 {
			count *= 8
			size = int(min(u>>1, maxDecoded)) * width
		}
		if total += count; n <= 0 || count > maxDecoded || total > uint64(values)+7 { //nolint:gosec // not below 0
			return fmt.Errorf("runs of %d values in a page of %d", total, values)
		}
		b = b[n:]
		b = b[min(size, len(b)):]
	}
	return nil
}

var decoders sync.Pool

// decompressed gives f what a page holds, which must be size bytes. Nothing is decompressed beyond.
func decompressed(page []byte, size int, f func([]byte) error) error {
	d, _ := decoders.Get().(*zstd.Decoder)
	if d == nil {
		var err error
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeAllCapLimit(true)); err != nil {
			return err
		}
	}
	defer decoders.Put(d)
	if int64(size) > int64(len(page))*(128<<10/4) { // the most that zstd can express
		return fmt.Errorf("%d bytes in %d", size, len(page))
	}
	b, err := d.DecodeAll(page, make([]byte, 0, size))
	if err == nil && len(b) != size {
		err = fmt.Errorf("%d bytes instead of %d", len(b), size)
	}
	if err != nil {
		return err
	}
	return f(b)
}
