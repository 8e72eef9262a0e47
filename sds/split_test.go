package sds

import (
	"bytes"
	"slices"
	"testing"
)

func TestEnvelopeIsAllButContentAndBloomFilter(t *testing.T) {
	m := Message{MessageID: "id", LamportTimestamp: 7, ChannelID: "c", Content: []byte("the content"), SenderID: "s",
		CausalHistory: []HistoryEntry{{MessageID: "before"}}, BloomFilter: []byte("the filter")}
	all, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, 0xa2, 0x06, 1, 'x') // a field of a newer version
	got := Envelope(all)
	for _, gone := range []string{"the content", "the filter"} {
		if bytes.Contains(got, []byte(gone)) {
			t.Errorf("it has %s", gone)
		}
	}
	if want := len(all) - len("the content") - len("the filter") - 4; len(got) != want || !bytes.HasSuffix(got, []byte("x")) ||
		!bytes.Contains(got, []byte("before")) {
		t.Errorf("%q has not the other fields", got)
	}
	if Envelope(all[:len(all)-1]) != nil || len(Envelope(nil)) > 0 {
		t.Error("of what is no message something is left")
	}
}

func TestBufferedIDsAreThoseOfAllBuffers(t *testing.T) {
	m := ChannelMeta{
		OutgoingBuffer:       []OutgoingMessage{{Message: Message{MessageID: "out"}}, {Message: Message{MessageID: "\xff\x00"}}},
		IncomingBuffer:       []IncomingMessage{{Message: Message{MessageID: "in"}, MissingDeps: []string{"missing"}}},
		OutgoingRepairBuffer: []OutgoingRepair{{MessageID: "wanted", HistoryEntry: HistoryEntry{MessageID: "other"}}},
		IncomingRepairBuffer: []IncomingRepair{{MessageID: "asked for"}},
	}
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for id := range BufferedIDs(b) {
		got = append(got, string(id))
	}
	if want := []string{"out", "\xff\x00", "in", "wanted", "asked for"}; !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for range BufferedIDs(b) {
		break
	}
}
