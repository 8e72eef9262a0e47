// Package segment encodes archived history as Parquet, one row a message, for readers of
// this project and for any other.
package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// Message is one archived message.
type Message struct {
	Offset  uint64
	ID      string
	Lamport int64
	Plain   []byte // as it was handed over: an encoded sds.Message
}

// ErrMalformed says that bytes are not a segment.
var ErrMalformed = errors.New("not a segment")

// row is the schema. All text is bytes, since ids need not be UTF-8.
type row struct {
	Namespace     []byte  `parquet:"namespace,dict"`
	Channel       []byte  `parquet:"channel,dict"`
	Offset        int64   `parquet:"offset,delta"`
	MessageID     []byte  `parquet:"message_id"`
	Lamport       int64   `parquet:"lamport,delta"`
	SenderID      []byte  `parquet:"sender_id,dict"`
	Content       []byte  `parquet:"content"`
	BloomFilter   []byte  `parquet:"bloom_filter"`
	CausalHistory []entry `parquet:"causal_history,list"`
	RepairRequest []entry `parquet:"repair_request,list"`
	ArchivedAt    int64   `parquet:"archived_at,timestamp(millisecond)"`

	// Raw is the encoded message where the columns don't give the same bytes, else null.
	Raw *[]byte `parquet:"raw,optional"`
}

// Schema returns the columns of every segment, for readers that declare them.
func Schema() *parquet.Schema { return parquet.SchemaOf(row{}) }

type entry struct {
	MessageID     []byte `parquet:"message_id"`
	RetrievalHint []byte `parquet:"retrieval_hint"`
	SenderID      []byte `parquet:"sender_id"`
}

// pageBytes is the size of pages. Neighbouring bloom filters differ in a few bits, but one
// has 18 KB: compression finds that only where many lie in one page.
const pageBytes = 8 << 20

// compression is of the level that makes segments some 15 % smaller than zstd's default for
// half as much time again. Its encoders, some 20 MB, are kept to be used again.
var compression = zstd.Codec{Level: zstd.SpeedBetterCompression}

// Encode returns messages, ascending by offset, as a Parquet file.
func Encode(key store.Key, archivedAt time.Time, messages []Message) ([]byte, error) {
	var out bytes.Buffer
	options := []parquet.WriterOption{
		parquet.Compression(&compression),
		parquet.PageBufferSize(pageBytes),
		parquet.DataPageStatistics(false),
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("offset"))),
		parquet.CreatedBy("sdsaws", "1", ""),
	}
	if !slices.ContainsFunc(messages, func(m Message) bool { return !printable(m.ID) }) {
		options = append(options, parquet.BloomFilters(parquet.SplitBlockFilter(10, "message_id")))
	}
	w := parquet.NewGenericWriter[row](&out, options...)
	var again []byte
	size, listed := 0, 0
	for i := range messages {
		if size += len(messages[i].Plain); size > maxPlain {
			return nil, fmt.Errorf("segment: messages of more than %d bytes", maxPlain)
		}
		r, err := newRow(key, archivedAt, &messages[i])
		if err != nil {
			return nil, err
		}
		if listed += max(len(r.CausalHistory), len(r.RepairRequest)); listed > maxEntries { // they are in raw then
			r.CausalHistory, r.RepairRequest = nil, nil
		}
		if again, err = r.appendTo(again[:0]); err != nil || !bytes.Equal(again, messages[i].Plain) {
			r.Raw = &messages[i].Plain
		}
		if _, err := w.Write([]row{r}); err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	return withPlainFooter(out.Bytes())
}

// printable reports whether DuckDB looks for an id in a bloom filter as Parquet has it. Up to
// 1.5.5 it takes the hash of an id as it would print it, with the bytes that are refused here
// escaped, finds that the filter doesn't hold it, and leaves out its rows
// (https://github.com/duckdb/duckdb/issues/23053).
func printable(id string) bool {
	for i := range len(id) {
		if c := id[i]; c < ' ' || c > '~' || c == '\\' || c == '\'' || c == '"' {
			return false
		}
	}
	return true
}

func newRow(key store.Key, archivedAt time.Time, m *Message) (row, error) {
	var d sds.Message
	if err := d.UnmarshalBinary(m.Plain); err != nil {
		return row{}, fmt.Errorf("segment: message at offset %d: %w", m.Offset, err)
	}
	return row{
		Namespace: []byte(key.Namespace), Channel: []byte(key.Channel),
		Offset: int64(m.Offset), MessageID: []byte(d.MessageID), Lamport: d.LamportTimestamp, //nolint:gosec // no log gets that long
		SenderID: []byte(d.SenderID), Content: d.Content, BloomFilter: d.BloomFilter,
		CausalHistory: entries(d.CausalHistory), RepairRequest: entries(d.RepairRequest),
		ArchivedAt: archivedAt.UnixMilli(),
	}, nil
}

func entries(all []sds.HistoryEntry) []entry {
	e := make([]entry, len(all))
	for i, h := range all {
		e[i] = entry{[]byte(h.MessageID), h.RetrievalHint, []byte(h.SenderID)}
	}
	return e
}

func history(all []entry) []sds.HistoryEntry {
	h := make([]sds.HistoryEntry, len(all))
	for i, e := range all {
		h[i] = sds.HistoryEntry{MessageID: string(e.MessageID), RetrievalHint: e.RetrievalHint, SenderID: string(e.SenderID)}
	}
	return h
}

// appendTo appends the message that the columns give to b.
func (r *row) appendTo(b []byte) ([]byte, error) {
	m := sds.Message{
		MessageID: string(r.MessageID), LamportTimestamp: r.Lamport, CausalHistory: history(r.CausalHistory),
		ChannelID: string(r.Channel), Content: r.Content, BloomFilter: r.BloomFilter,
		SenderID: string(r.SenderID), RepairRequest: history(r.RepairRequest),
	}
	return m.AppendBinary(b)
}

// Decode yields the messages of a segment, which must be the channel's. After an error it
// ends. The bytes are to be verified before, by the checksum in the manifest: a Parquet
// reader may panic at damaged ones, which is an error here.
//
// Whatever the bytes are, it allocates at a time no more than a few times the page that it decodes, and what it
// yields: before the reader sees the file, one is refused that says, or holds, more than 2^20 rows, 2^20
// elements of a list's column, 1 GiB not compressed, or more than its compressed bytes.
func Decode(key store.Key, b []byte) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		var r *parquet.GenericReader[row]
		batch := 64 // rows
		err := guarded(func() error {
			dictionary, err := check(b)
			if err != nil {
				return err
			}
			// Rows that refer to a value of a dictionary have a copy each.
			batch = max(1, min(batch, (8<<20)/max(1, dictionary)))
			f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
			if err == nil {
				r = parquet.NewGenericReader[row](f)
			}
			return err
		})
		if err != nil {
			yield(Message{}, err)
			return
		}
		defer func() { _ = guarded(r.Close) }()         // it has only read
		for rows := make([]row, batch); ; clear(rows) { // what was yielded is the caller's
			n, end := 0, false
			err := guarded(func() (err error) {
				n, err = r.Read(rows)
				if end = errors.Is(err, io.EOF); end {
					return nil
				}
				if err == nil && n == 0 {
					err = io.ErrNoProgress
				}
				return err
			})
			for i := range rows[:n] {
				m, failed := rows[i].message(key)
				if !yield(m, failed) || failed != nil {
					return
				}
			}
			if err != nil {
				yield(Message{}, err)
			}
			if err != nil || end {
				return
			}
		}
	}
}

// guarded returns what f returns, or panics with, as an ErrMalformed.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the reader panics: %.100s", ErrMalformed, fmt.Sprint(p))
		}
	}()
	if err := f(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

func (r *row) message(key store.Key) (Message, error) {
	if string(r.Namespace) != key.Namespace || string(r.Channel) != key.Channel || r.Offset < 0 {
		return Message{}, fmt.Errorf("%w: a row of another channel", ErrMalformed)
	}
	m := Message{Offset: uint64(r.Offset), ID: string(r.MessageID), Lamport: r.Lamport}
	if r.Raw != nil {
		m.Plain = bytes.Clone(*r.Raw)
		return m, nil
	}
	var err error
	if m.Plain, err = r.appendTo(nil); err != nil {
		return m, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}

// Equal reports whether two messages are the same in all.
func (m *Message) Equal(o Message) bool {
	return m.Offset == o.Offset && m.ID == o.ID && m.Lamport == o.Lamport && bytes.Equal(m.Plain, o.Plain)
}
