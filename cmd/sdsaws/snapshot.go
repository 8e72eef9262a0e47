package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/sdsaws/sdsaws/sds"
)

// snapshot is a decoded sds.ChannelMeta in JSON.
type snapshot struct {
	Bytes          int              `json:"bytes"`
	SchemaVersion  uint32           `json:"schema_version"`
	Lamport        int64            `json:"lamport"`
	Outgoing       []outgoing       `json:"outgoing"`
	Incoming       []incoming       `json:"incoming"`
	OutgoingRepair []outgoingRepair `json:"outgoing_repair"`
	IncomingRepair []incomingRepair `json:"incoming_repair"`

	meta sds.ChannelMeta
}

// bufferedMessage is a message in a buffer.
type bufferedMessage struct {
	MessageID        string   `json:"message_id"`
	Lamport          int64    `json:"lamport"`
	SenderID         string   `json:"sender_id"`
	Content          []byte   `json:"content"`
	CausalHistory    []string `json:"causal_history"`
	RepairRequest    []string `json:"repair_request"`
	BloomFilterBytes int      `json:"bloom_filter_bytes"`
}

func newBuffered(m *sds.Message) bufferedMessage {
	return bufferedMessage{escapeID(m.MessageID), m.LamportTimestamp, escapeID(m.SenderID), orEmpty(m.Content),
		entryIDs(m.CausalHistory, escapeID), entryIDs(m.RepairRequest, escapeID), len(m.BloomFilter)}
}

// orEmpty makes JSON of no bytes "", not null.
func orEmpty(b []byte) []byte { return append([]byte{}, b...) }

type outgoing struct {
	bufferedMessage
	SentAt         string `json:"sent_at"`
	ResendAttempts uint32 `json:"resend_attempts"`
}

type incoming struct {
	bufferedMessage
	MissingDeps []string `json:"missing_deps"`
}

type outgoingRepair struct {
	MessageID     string `json:"message_id"`
	SenderID      string `json:"sender_id"`
	RetrievalHint []byte `json:"retrieval_hint"`
	NotBefore     string `json:"not_before"`
}

type incomingRepair struct {
	outgoingRepair
	CachedBytes int `json:"cached_bytes"`
}

func newSnapshot(encoded []byte) (snapshot, error) {
	s := snapshot{Bytes: len(encoded), Outgoing: []outgoing{}, Incoming: []incoming{},
		OutgoingRepair: []outgoingRepair{}, IncomingRepair: []incomingRepair{}}
	if err := s.meta.UnmarshalBinary(encoded); err != nil {
		return s, fmt.Errorf("snapshot: %w", err)
	}
	s.SchemaVersion, s.Lamport = s.meta.SchemaVersion, s.meta.LamportTimestamp
	for i := range s.meta.OutgoingBuffer {
		o := &s.meta.OutgoingBuffer[i]
		s.Outgoing = append(s.Outgoing, outgoing{newBuffered(&o.Message), milliseconds(o.SendTimeMs), o.ResendAttempts})
	}
	for i := range s.meta.IncomingBuffer {
		in := &s.meta.IncomingBuffer[i]
		deps := make([]string, len(in.MissingDeps))
		for j, id := range in.MissingDeps {
			deps[j] = escapeID(id)
		}
		s.Incoming = append(s.Incoming, incoming{newBuffered(&in.Message), deps})
	}
	for _, r := range s.meta.OutgoingRepairBuffer {
		s.OutgoingRepair = append(s.OutgoingRepair, newRepair(r.MessageID, r.HistoryEntry, r.MinTimeMs))
	}
	for _, r := range s.meta.IncomingRepairBuffer {
		s.IncomingRepair = append(s.IncomingRepair,
			incomingRepair{newRepair(r.MessageID, r.HistoryEntry, r.MinTimeMs), len(r.CachedMessage)})
	}
	return s, nil
}

func newRepair(id string, e sds.HistoryEntry, ms int64) outgoingRepair {
	return outgoingRepair{escapeID(id), escapeID(e.SenderID), orEmpty(e.RetrievalHint), milliseconds(ms)}
}

func milliseconds(ms int64) string { return showTime(time.UnixMilli(ms)) }

// shownEntries is how many entries of a buffer a table shows.
const shownEntries = 10

// showBuffers shows each buffer that isn't empty as a table.
func (s *snapshot) showBuffers(w io.Writer) error {
	m := &s.meta
	quoted := func(escaped string) string { return `"` + escaped + `"` }
	message := func(b *bufferedMessage) []string {
		return []string{quoted(b.MessageID), strconv.FormatInt(b.Lamport, 10), quoted(b.SenderID), strconv.Itoa(len(b.Content))}
	}
	for _, b := range []struct {
		name   string
		header []string
		n      int
		row    func(i int) []string
	}{
		{"outgoing buffer", []string{"ID", "LAMPORT", "SENDER", "BYTES", "RESENT", "SENT"}, len(m.OutgoingBuffer), func(i int) []string {
			o := &s.Outgoing[i]
			return append(message(&o.bufferedMessage), fmt.Sprint(o.ResendAttempts), o.SentAt)
		}},
		{"incoming buffer", []string{"ID", "LAMPORT", "SENDER", "BYTES", "MISSING"}, len(m.IncomingBuffer), func(i int) []string {
			in := &s.Incoming[i]
			return append(message(&in.bufferedMessage), fmt.Sprint(len(in.MissingDeps)))
		}},
		{"outgoing repair buffer", []string{"ID", "SENDER", "HINT", "NOT BEFORE"}, len(m.OutgoingRepairBuffer), func(i int) []string {
			r := &s.OutgoingRepair[i]
			return []string{quoted(r.MessageID), quoted(r.SenderID), fmt.Sprintf("%d bytes", len(r.RetrievalHint)), r.NotBefore}
		}},
		{"incoming repair buffer", []string{"ID", "SENDER", "CACHED", "NOT BEFORE"}, len(m.IncomingRepairBuffer), func(i int) []string {
			r := &s.IncomingRepair[i]
			return []string{quoted(r.MessageID), quoted(r.SenderID), fmt.Sprintf("%d bytes", r.CachedBytes), r.NotBefore}
		}},
	} {
		if err := showBuffer(w, b.name, b.header, b.n, b.row); err != nil {
			return err
		}
	}
	return nil
}

func showBuffer(w io.Writer, name string, header []string, n int, row func(i int) []string) error {
	if n == 0 {
		return nil
	}
	more := ""
	if n > shownEntries {
		more = fmt.Sprintf(", %d of them here, all with --format json", shownEntries)
	}
	fmt.Fprintf(w, "\n%s: %d%s\n", name, n, more)
	t := &columns{w: w, header: header}
	for i := range min(n, shownEntries) {
		if err := t.row(row(i)...); err != nil {
			return err
		}
	}
	return t.flush()
}
