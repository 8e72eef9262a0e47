package sds

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// The JSON of the vectors: ids and byte fields are base64, 64-bit integers strings.
type (
	jsonEntry struct {
		MessageID     []byte `json:"messageId"`
		RetrievalHint []byte `json:"retrievalHint"`
		SenderID      []byte `json:"senderId"`
	}
	jsonMessage struct {
		MessageID        []byte      `json:"messageId"`
		LamportTimestamp int64       `json:"lamportTimestamp,string"`
		CausalHistory    []jsonEntry `json:"causalHistory"`
		ChannelID        []byte      `json:"channelId"`
		Content          []byte      `json:"content"`
		BloomFilter      []byte      `json:"bloomFilter"`
		SenderID         []byte      `json:"senderId"`
		RepairRequest    []jsonEntry `json:"repairRequest"`
	}
	jsonMeta struct {
		SchemaVersion    uint32 `json:"schemaVersion"`
		LamportTimestamp int64  `json:"lamportTimestamp,string"`
		OutgoingBuffer   []struct {
			Message        jsonMessage `json:"message"`
			SendTimeMs     int64       `json:"sendTimeMs,string"`
			ResendAttempts int64       `json:"resendAttempts,string"`
		} `json:"outgoingBuffer"`
		IncomingBuffer []struct {
			Message     jsonMessage `json:"message"`
			MissingDeps [][]byte    `json:"missingDeps"`
		} `json:"incomingBuffer"`
		OutgoingRepairBuffer []struct {
			MessageID []byte `json:"messageId"`
			Entry     struct {
				HistoryEntry jsonEntry `json:"historyEntry"`
				MinTimeMs    int64     `json:"minTimeMs,string"`
			} `json:"entry"`
		} `json:"outgoingRepairBuffer"`
		IncomingRepairBuffer []struct {
			MessageID []byte `json:"messageId"`
			Entry     struct {
				HistoryEntry  jsonEntry `json:"historyEntry"`
				CachedMessage []byte    `json:"cachedMessage"`
				MinTimeMs     int64     `json:"minTimeMs,string"`
			} `json:"entry"`
		} `json:"incomingRepairBuffer"`
	}
	jsonData struct {
		Meta           jsonMeta      `json:"meta"`
		MessageHistory []jsonMessage `json:"messageHistory"`
	}
	jsonUpdate struct {
		Append []jsonMessage `json:"append"`
		Evict  [][]byte      `json:"evict"`
	}
)

func each[J, T any](in []J, f func(J) T) (out []T) {
	for _, v := range in {
		out = append(out, f(v))
	}
	return out
}

func text(b []byte) string { return string(b) }

func (e jsonEntry) value() HistoryEntry {
	return HistoryEntry{text(e.MessageID), cloneValue(e.RetrievalHint), text(e.SenderID)}
}

func (m jsonMessage) value() Message {
	return Message{
		MessageID: text(m.MessageID), LamportTimestamp: m.LamportTimestamp,
		CausalHistory: each(m.CausalHistory, jsonEntry.value), ChannelID: text(m.ChannelID),
		Content: cloneValue(m.Content), BloomFilter: cloneValue(m.BloomFilter),
		SenderID: text(m.SenderID), RepairRequest: each(m.RepairRequest, jsonEntry.value),
	}
}

func (m jsonMeta) value() ChannelMeta {
	v := ChannelMeta{SchemaVersion: m.SchemaVersion, LamportTimestamp: m.LamportTimestamp}
	for _, o := range m.OutgoingBuffer {
		v.OutgoingBuffer = append(v.OutgoingBuffer,
			OutgoingMessage{o.Message.value(), o.SendTimeMs, uint32(o.ResendAttempts)})
	}
	for _, in := range m.IncomingBuffer {
		v.IncomingBuffer = append(v.IncomingBuffer,
			IncomingMessage{in.Message.value(), each(in.MissingDeps, text)})
	}
	for _, o := range m.OutgoingRepairBuffer {
		v.OutgoingRepairBuffer = append(v.OutgoingRepairBuffer,
			OutgoingRepair{text(o.MessageID), o.Entry.HistoryEntry.value(), o.Entry.MinTimeMs})
	}
	for _, in := range m.IncomingRepairBuffer {
		v.IncomingRepairBuffer = append(v.IncomingRepairBuffer, IncomingRepair{
			text(in.MessageID), in.Entry.HistoryEntry.value(), cloneValue(in.Entry.CachedMessage), in.Entry.MinTimeMs})
	}
	return v
}

func (d jsonData) value() ChannelData {
	return ChannelData{d.Meta.value(), each(d.MessageHistory, jsonMessage.value)}
}

func (u jsonUpdate) value() HistoryUpdate {
	return HistoryUpdate{each(u.Append, jsonMessage.value), each(u.Evict, text)}
}

// vector is one line of the files in testdata.
type vector struct {
	Name, Type, Kind, Hex, Sha256, Decode string
	HexHead, HexTail                      string
	Len                                   int
	Value, DecodedValue                   json.RawMessage
	Accept, Malformed, Panic              []int
	MissingField                          []int `json:"missing-field"`
}

type codec interface {
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// from parses the JSON of a value of the vector's type; raw nil gives an empty one.
func (v vector) from(t *testing.T, raw json.RawMessage) codec {
	t.Helper()
	switch v.Type {
	case "HistoryEntry":
		return parse(t, raw, jsonEntry.value)
	case "SdsMessage":
		return parse(t, raw, jsonMessage.value)
	case "ChannelMeta":
		return parse(t, raw, jsonMeta.value)
	case "ChannelData":
		return parse(t, raw, jsonData.value)
	case "HistoryUpdate":
		return parse(t, raw, jsonUpdate.value)
	}
	t.Fatalf("unknown type %q", v.Type)
	return nil
}

func parse[J, T any, P interface {
	*T
	codec
}](t *testing.T, raw json.RawMessage, value func(J) T) codec {
	t.Helper()
	var j J
	if raw != nil {
		if err := json.Unmarshal(raw, &j); err != nil {
			t.Fatal(err)
		}
		v := value(j)
		return P(&v)
	}
	return P(new(T))
}

func readVectors(t testing.TB, name string) (all []vector) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	d := json.NewDecoder(bufio.NewReader(z))
	for d.More() {
		var v vector
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func TestVectorsOfTheReference(t *testing.T) {
	vectors := readVectors(t, "vectors.jsonl.zst")
	if len(vectors) != 251 {
		t.Fatalf("%d vectors, want 251", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, v.check)
	}
}

func TestMutantsOfTheReference(t *testing.T) {
	mutants := readVectors(t, "mutants.jsonl.zst")
	if len(mutants) != 1550 {
		t.Fatalf("%d mutants, want 1550", len(mutants))
	}
	for _, v := range mutants {
		t.Run(v.Name, v.check)
	}
}

func (v vector) check(t *testing.T) {
	switch v.Kind {
	case "encode":
		v.checkEncode(t, v.from(t, v.Value), v.bytes(t))
	case "encode-large":
		m := v.large(t)
		b, err := m.MarshalBinary()
		sum := sha256.Sum256(b)
		if err != nil || len(b) != v.Len || hex.EncodeToString(sum[:]) != v.Sha256 {
			t.Fatalf("encoded to %d bytes, sha256 %x, %v; want %d, %s", len(b), sum, err, v.Len, v.Sha256)
		}
		v.checkEncode(t, m, b)
	case "encode-panic":
		if b, err := v.from(t, v.Value).MarshalBinary(); !errors.Is(err, ErrEmptyUpdate) {
			t.Fatalf("encoded to %x, %v, want ErrEmptyUpdate", b, err)
		}
	case "decode":
		v.checkDecode(t)
	case "prefixes":
		v.checkPrefixes(t)
	default:
		t.Fatalf("unknown kind %q", v.Kind)
	}
}

func (v vector) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Hex)
	if sum := sha256.Sum256(b); err != nil || len(b) != v.Len || hex.EncodeToString(sum[:]) != v.Sha256 {
		t.Fatalf("the vector's bytes are not what it says: %v", err)
	}
	return b
}

func (v vector) checkEncode(t *testing.T, value codec, want []byte) {
	got, err := value.MarshalBinary()
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("encoded to\n%.200x, %v, want\n%.200x", got, err, want)
	}
	back, err := v.decode(t, want)
	if v.Decode != "accept" {
		if err == nil {
			t.Fatalf("decoded, want %s", v.Decode)
		}
		if v.Decode == "panic" && !errors.Is(err, ErrOutOfRange) {
			t.Fatalf("%v, want ErrOutOfRange", err)
		}
		return
	}
	if v.DecodedValue != nil {
		value = v.from(t, v.DecodedValue)
	}
	if err != nil || !reflect.DeepEqual(back, value) {
		t.Fatalf("decoded to\n%.500v, %v, want\n%.500v", back, err, value)
	}
}

// decode decodes b and holds the validators against it.
func (v vector) decode(t *testing.T, b []byte) (codec, error) {
	value := v.from(t, nil)
	kept := bytes.Clone(b)
	err := value.UnmarshalBinary(b)
	if !bytes.Equal(b, kept) {
		t.Fatal("the decoder changed its input")
	}
	switch m := value.(type) {
	case *ChannelMeta:
		if again := ValidateMeta(b); (again == nil) != (err == nil) {
			t.Fatalf("ValidateMeta says %v, UnmarshalBinary %v", again, err)
		}
	case *Message:
		info, again := InspectMessage(b)
		if (again == nil) != (err == nil) || info != (MessageInfo{m.MessageID, m.LamportTimestamp, m.SenderID}) {
			t.Fatalf("InspectMessage says %v, %v; UnmarshalBinary %v", info, again, err)
		}
	}
	var damage *DecodeError
	if err != nil && (!errors.As(err, &damage) || damage.Offset > len(b)) {
		t.Fatalf("%#v is no DecodeError within %d bytes", err, len(b))
	}
	return value, err
}

func (v vector) checkDecode(t *testing.T) {
	b := v.bytes(t)
	got, err := v.decode(t, b)
	refused := v.Decode != "accept" || v.damagedUpdate(b)
	if refused != (err != nil) {
		t.Fatalf("%v, the reference says %s", err, v.Decode)
	}
	if v.Decode == "panic" && !errors.Is(err, ErrOutOfRange) {
		t.Fatalf("%v, want ErrOutOfRange", err)
	}
	if want := v.from(t, v.Value); !refused && !reflect.DeepEqual(got, want) {
		t.Fatalf("decoded to\n%.500v, want\n%.500v", got, want)
	}
}

// damagedUpdate says whether the reference reads b as an empty update although it isn't
// one: it lost what was there, and we refuse.
func (v vector) damagedUpdate(b []byte) bool {
	if v.Type != "HistoryUpdate" {
		return false
	}
	r := fields{b: b}
	for _, ok := r.next(); ok; _, ok = r.next() {
	}
	return r.bad
}

func (v vector) checkPrefixes(t *testing.T) {
	b := v.bytes(t)
	accept := map[int]bool{}
	for _, n := range v.Accept {
		accept[n] = true
	}
	if n := len(v.Accept) + len(v.Malformed) + len(v.MissingField) + len(v.Panic); n != len(b) {
		t.Fatalf("%d prefixes of %d bytes", n, len(b))
	}
	for n := range b {
		want := accept[n] && !v.damagedUpdate(b[:n])
		if _, err := v.decode(t, b[:n]); (err == nil) != want {
			t.Errorf("prefix of %d bytes: %v, want accepted: %v", n, err, want)
		}
	}
}

// large makes the values that the vectors give as a recipe.
func (v vector) large(t *testing.T) codec {
	patterned := make([]byte, 1<<20)
	for i := range patterned {
		patterned[i] = byte(31*i + 7)
	}
	m := Message{MessageID: "m1", LamportTimestamp: 5, ChannelID: "chan", SenderID: "alice"}
	switch v.Name {
	case "sds-message/content-1MB":
		m.Content = make([]byte, 1_000_000)
		return &m
	case "sds-message/content-5MiB":
		m.Content = make([]byte, 5<<20)
		for i := range m.Content {
			m.Content[i] = byte(31*i + 7)
		}
		return &m
	case "channel-meta/outgoing-1MiB":
		m.LamportTimestamp, m.Content = 1, patterned
		return &ChannelMeta{SchemaVersion: 1, LamportTimestamp: 7,
			OutgoingBuffer: []OutgoingMessage{{m, 1_700_000_000_123, 1}}}
	case "history-update/content-1MiB":
		m.Content = patterned
		return &HistoryUpdate{Append: []Message{m}, Evict: []string{"old"}}
	}
	t.Fatal("no recipe for " + strconv.Quote(v.Name))
	return nil
}
