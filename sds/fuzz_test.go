package sds

import (
	"bytes"
	"reflect"
	"testing"
)

// seed gives a fuzz target the valid values and the damaged ones of one type.
func seed(f *testing.F, typ string) {
	for _, v := range append(readVectors(f, "vectors.jsonl.zst"), readVectors(f, "mutants.jsonl.zst")...) {
		if v.Type == typ && v.Hex != "" && len(v.Hex) < 4096 {
			f.Add(v.bytes(f))
		}
	}
}

// fuzz checks a decoder: what it accepts is encoded again to bytes that decode to the
// same value, and encoding those gives the same bytes.
func fuzz[T any, P interface {
	*T
	codec
}](f *testing.F, validate func(t *testing.T, b []byte, v *T, err error)) {
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		v := new(T)
		err := P(v).UnmarshalBinary(b)
		if !bytes.Equal(b, kept) {
			t.Fatal("the decoder changed its input")
		}
		validate(t, b, v, err)
		if err != nil {
			return
		}
		canonical, err := P(v).MarshalBinary()
		if err != nil && len(canonical) == 0 {
			return // an empty update has no encoding
		}
		again := new(T)
		if err := P(again).UnmarshalBinary(canonical); err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("%v, decoded again %+v, want %+v", err, again, v)
		}
		if twice, err := P(again).MarshalBinary(); err != nil || !bytes.Equal(twice, canonical) {
			t.Fatalf("encoded to %x, %v, then %x", canonical, err, twice)
		}
	})
}

func nothing[T any](*testing.T, []byte, *T, error) {}

func FuzzHistoryEntry(f *testing.F) {
	seed(f, "HistoryEntry")
	fuzz[HistoryEntry](f, nothing)
}

func FuzzMessage(f *testing.F) {
	seed(f, "SdsMessage")
	fuzz(f, func(t *testing.T, b []byte, m *Message, err error) {
		info, again := InspectMessage(b)
		if (err == nil) != (again == nil) || info != (MessageInfo{m.MessageID, m.LamportTimestamp, m.SenderID}) {
			t.Fatalf("InspectMessage says %+v, %v; UnmarshalBinary %v", info, again, err)
		}
	})
}

func FuzzChannelMeta(f *testing.F) {
	seed(f, "ChannelMeta")
	fuzz(f, func(t *testing.T, b []byte, _ *ChannelMeta, err error) {
		if again := ValidateMeta(b); (err == nil) != (again == nil) {
			t.Fatalf("ValidateMeta says %v, UnmarshalBinary %v", again, err)
		}
	})
}

// FuzzMessageSpans takes a snapshot apart and puts it together again.
func FuzzMessageSpans(f *testing.F) {
	seed(f, "ChannelMeta")
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		spans, err := MessageSpans(b)
		if !bytes.Equal(b, kept) {
			t.Fatal("it changed its input")
		}
		if valid := ValidateMeta(b); (err == nil) != (valid == nil) {
			t.Fatalf("MessageSpans says %v, ValidateMeta %v", err, valid)
		}
		var joined []byte
		pos := 0
		for _, s := range spans {
			if s.From < pos || s.To <= s.From || s.To > len(b) {
				t.Fatalf("spans %v of %d bytes", spans, len(b))
			}
			message := b[s.From:s.To]
			if _, err := InspectMessage(message); err != nil {
				t.Fatalf("what is at %v is no message: %v", s, err)
			}
			joined = append(append(joined, b[pos:s.From]...), message...)
			pos = s.To
		}
		if joined = append(joined, b[pos:]...); err == nil && !bytes.Equal(joined, b) {
			t.Fatal("the parts are not the whole")
		}
		var m ChannelMeta
		if err != nil || m.UnmarshalBinary(b) != nil {
			return
		}
		if least := len(m.OutgoingBuffer) + len(m.IncomingBuffer); len(spans) < least ||
			len(spans) > least+len(m.IncomingRepairBuffer) {
			t.Fatalf("%d spans of %d messages and %d repairs", len(spans), least, len(m.IncomingRepairBuffer))
		}
	})
}

func FuzzChannelData(f *testing.F) {
	seed(f, "ChannelData")
	fuzz[ChannelData](f, nothing)
}

func FuzzHistoryUpdate(f *testing.F) {
	seed(f, "HistoryUpdate")
	fuzz[HistoryUpdate](f, nothing)
}

// TestValidatingAllocatesNothing is what lets callers hand over encoded bytes cheaply.
func TestValidatingAllocatesNothing(t *testing.T) {
	for _, v := range readVectors(t, "vectors.jsonl.zst") {
		if v.Kind != "encode" || v.Type != "ChannelMeta" || v.Decode != "accept" {
			continue
		}
		b := v.bytes(t)
		if n := testing.AllocsPerRun(10, func() {
			if err := ValidateMeta(b); err != nil {
				t.Error(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", v.Name, n)
		}
	}
}

func BenchmarkValidateMeta(b *testing.B) {
	m := ChannelMeta{SchemaVersion: 1}
	for range 21 {
		m.OutgoingBuffer = append(m.OutgoingBuffer, OutgoingMessage{Message: Message{
			MessageID: "m", BloomFilter: make([]byte, 18<<10), Content: make([]byte, 300),
			CausalHistory: make([]HistoryEntry, 10)}})
	}
	encoded, err := m.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	for b.Loop() {
		if err := ValidateMeta(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
