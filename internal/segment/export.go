package segment

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/sdsaws/sdsaws/store"
)

// exported is the schema of exports: that of segments, and what is true of all rows of these.
type exported struct {
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
	ArchivedAt    *int64  `parquet:"archived_at,optional,timestamp(millisecond)"` // null: in the log
	Raw           *[]byte `parquet:"raw,optional"`
	Live          bool    `parquet:"live"` // it is history
}

// What a row group holds at most, and so an Exporter in memory.
const (
	groupRows  = 1000
	groupBytes = 32 << 20
)

// Exporter writes history, archived or not, as a Parquet file.
type Exporter struct {
	w          *parquet.GenericWriter[exported]
	key        store.Key
	rows, size int // of the row group
	again      []byte
}

// NewExporter returns an Exporter for the history of a channel.
func NewExporter(w io.Writer, key store.Key) *Exporter {
	return &Exporter{key: key, w: parquet.NewGenericWriter[exported](w, parquet.Compression(&compression),
		parquet.PageBufferSize(pageBytes), parquet.DataPageStatistics(false), parquet.CreatedBy("sdsaws", "1", ""))}
}

// Write adds a message. One that was never archived has no archivedAt.
func (e *Exporter) Write(m *Message, live bool, archivedAt time.Time) error {
	r, err := newRow(e.key, archivedAt, m)
	if err != nil {
		return err
	}
	if e.again, err = r.appendTo(e.again[:0]); err != nil || !bytes.Equal(e.again, m.Plain) {
		r.Raw = &m.Plain
	}
	x := exported{Namespace: r.Namespace, Channel: r.Channel, Offset: r.Offset, MessageID: r.MessageID, Lamport: r.Lamport,
		SenderID: r.SenderID, Content: r.Content, BloomFilter: r.BloomFilter, CausalHistory: r.CausalHistory,
		RepairRequest: r.RepairRequest, Raw: r.Raw, Live: live}
	if !archivedAt.IsZero() {
		x.ArchivedAt = &r.ArchivedAt
	}
	if _, err := e.w.Write([]exported{x}); err != nil {
		return fmt.Errorf("segment: export: %w", err)
	}
	e.rows++
	e.size += len(m.Plain)
	if e.rows < groupRows && e.size < groupBytes {
		return nil
	}
	e.rows, e.size = 0, 0
	if err := e.w.Flush(); err != nil {
		return fmt.Errorf("segment: export: %w", err)
	}
	return nil
}

// Close ends the file, which can't be read before.
func (e *Exporter) Close() error {
	if err := e.w.Close(); err != nil {
		return fmt.Errorf("segment: export: %w", err)
	}
	return nil
}
