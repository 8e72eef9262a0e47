package sdstest

import (
	"fmt"

	"github.com/sdsaws/sdsaws/sds"
)

// some returns messages, one for each id, with clocks from 1 on.
func some(ids ...string) [][]byte {
	all := make([][]byte, len(ids))
	for i, id := range ids {
		all[i] = message(id, int64(i)+1, "content of "+id)
	}
	return all
}

func one(id string, lamport int64, content string) [][]byte {
	return [][]byte{message(id, lamport, content)}
}

func message(id string, lamport int64, content string) []byte {
	m := messageValue(id, lamport, content)
	return encode(m.MarshalBinary())
}

func messageValue(id string, lamport int64, content string) sds.Message {
	return sds.Message{
		MessageID:        id,
		LamportTimestamp: lamport,
		CausalHistory:    []sds.HistoryEntry{{MessageID: "before\xff", RetrievalHint: []byte{0, 1}}},
		ChannelID:        "a channel",
		Content:          []byte(content),
		BloomFilter:      []byte{0, 0x10, 0xff},
		SenderID:         "sender",
		RepairRequest:    []sds.HistoryEntry{{MessageID: "missing", SenderID: "other"}},
	}
}

// snapshot returns an encoded snapshot with something in every buffer.
func snapshot(lamport int64) []byte {
	m := snapshotValue(lamport)
	return encode(m.MarshalBinary())
}

func snapshotValue(lamport int64) sds.ChannelMeta {
	content := fmt.Sprint("buffered ", lamport)
	entry := sds.HistoryEntry{MessageID: "r", RetrievalHint: []byte("hint")}
	return sds.ChannelMeta{
		SchemaVersion:    sds.SchemaVersion,
		LamportTimestamp: lamport,
		OutgoingBuffer: []sds.OutgoingMessage{{Message: messageValue("out", lamport, content),
			SendTimeMs: 1_700_000_000_000, ResendAttempts: 3}},
		IncomingBuffer: []sds.IncomingMessage{{Message: messageValue("in", lamport, content),
			MissingDeps: []string{"missing", "\xfe"}}},
		OutgoingRepairBuffer: []sds.OutgoingRepair{{MessageID: "r", HistoryEntry: entry, MinTimeMs: 5}},
		IncomingRepairBuffer: []sds.IncomingRepair{{MessageID: "r", HistoryEntry: entry,
			CachedMessage: []byte("cached"), MinTimeMs: 6}},
	}
}

// encode is for encodings that can't fail.
func encode(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func inspect(b []byte) sds.MessageInfo {
	info, err := sds.InspectMessage(b)
	if err != nil {
		panic(err)
	}
	return info
}

// decodedUpdate returns an update as a value.
func decodedUpdate(u sds.EncodedHistoryUpdate) *sds.HistoryUpdate {
	d := &sds.HistoryUpdate{Append: make([]sds.Message, len(u.Append)), Evict: u.Evict}
	for i, b := range u.Append {
		if err := d.Append[i].UnmarshalBinary(b); err != nil {
			panic(err)
		}
	}
	return d
}
