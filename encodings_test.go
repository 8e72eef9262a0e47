package sdsaws_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// TestWhatIsStoredOnceIsReadWhole has a participant park, deliver, send, drop and evict messages
// at random, the same ones again and others under their ids, with adapters that group messages
// differently, whose replies get lost, and who archive in between. Snapshots and messages
// come back byte for byte. -rapid.checks=N makes it longer.
func TestWhatIsStoredOnceIsReadWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newMember(t)
		t.Repeat(map[string]func(*rapid.T){
			"commit": p.commit, "commit again": p.commit, "commit once more": p.commit,
			"burst": p.burst, "reload": p.reload, "archive": p.archive, "sweep": p.sweep, "drop": p.drop,
			"": p.check,
		})
		p.m.judge(t, &p.kept)
	})
}

// member uses a channel, and knows what it must hold.
type member struct {
	kept
	m *memory
	a *sdsaws.Adapter

	clock    int64
	known    [][]byte // messages that are or were anywhere, to come again
	outgoing [][]byte
	incoming [][]byte
	cached   [][]byte // for repairs; not all are messages
	update   sds.EncodedHistoryUpdate
	bloom    []byte // messages have nearly this one
}

func newMember(t *rapid.T) *member {
	p := &member{m: newMemory(), bloom: make([]byte, 200)}
	p.m.Max.Messages = rapid.SampledFrom([]int{99, 5}).Draw(t, "messages in a commit")
	p.open(t)
	return p
}

// open goes on with another adapter. The one before has crashed.
func (p *member) open(t *rapid.T) {
	o := quiet
	o.GroupSize = rapid.SampledFrom([]int{1, 2, 3, 16, 64}).Draw(t, "group size")
	o.InlineBytes = rapid.SampledFrom([]int{300, 1000, 20_000}).Draw(t, "inline bytes")
	p.a = openAs(t, p.m, "alice", o)
}

// fresh makes a message that there wasn't before.
func (p *member) fresh(t *rapid.T) []byte {
	p.clock++
	id := fmt.Sprint("m", p.clock)
	if len(p.known) > 0 && rapid.IntRange(0, 5).Draw(t, "other bytes") == 0 {
		id = idOf(t, rapid.SampledFrom(p.known).Draw(t, "id of"))
	}
	return p.made(t, id)
}

func (p *member) made(t *rapid.T, id string) []byte {
	r := rand.New(rand.NewPCG(uint64(p.clock), rapid.Uint64().Draw(t, "content"))) //nolint:gosec // a test's
	p.bloom[r.IntN(len(p.bloom))] ^= 1 << r.IntN(8)
	m := sds.Message{MessageID: id, LamportTimestamp: p.clock / 3, ChannelID: channel, BloomFilter: p.bloom,
		SenderID: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "sender")}
	m.Content = make([]byte, rapid.SampledFrom([]int{0, 9, 9, 50, 500, 1500}).Draw(t, "size"))
	for i := range m.Content {
		m.Content[i] = byte(r.Uint32())
	}
	for _, b := range p.known[max(0, len(p.known)-5):] {
		m.CausalHistory = append(m.CausalHistory, sds.HistoryEntry{MessageID: idOf(t, b)})
	}
	b := []byte(encoded(t, &m))
	if rapid.IntRange(0, 9).Draw(t, "unknown field") == 0 {
		b = protowire.AppendString(protowire.AppendTag(b, 100, protowire.BytesType), "of a newer version")
	}
	p.known = append(p.known, b)
	return b
}

func idOf(t tester, b []byte) string {
	m, err := sds.InspectMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	return m.MessageID
}

// some returns a message that was somewhere, or another one.
func (p *member) some(t *rapid.T) []byte {
	if len(p.known) == 0 || rapid.Bool().Draw(t, "fresh") {
		return p.fresh(t)
	}
	return rapid.SampledFrom(p.known).Draw(t, "message")
}

// taken takes one of these out, if there is any.
func taken(t *rapid.T, from *[][]byte) (one []byte, ok bool) {
	if len(*from) == 0 {
		return nil, false
	}
	i := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
	one = (*from)[i]
	*from = slices.Delete(slices.Clone(*from), i, i+1)
	return one, true
}

// change is one step of the protocol, and others that it wouldn't take.
func (p *member) change(t *rapid.T) {
	deliver := func(b []byte) { p.update.Append = append(p.update.Append, b) }
	switch rapid.SampledFrom([]string{"send", "receive", "park", "deliver", "lose", "acknowledge",
		"cache", "cache no message", "forget", "evict", "evict", "again"}).Draw(t, "change") {
	case "send":
		b := p.some(t)
		p.outgoing = append(p.outgoing, b)
		deliver(b)
	case "receive", "again":
		deliver(p.some(t))
	case "park":
		p.incoming = append(p.incoming, p.some(t))
	case "deliver":
		if b, ok := taken(t, &p.incoming); ok {
			deliver(b)
		}
	case "lose":
		taken(t, &p.incoming)
	case "acknowledge":
		taken(t, &p.outgoing)
	case "cache":
		p.cached = append(p.cached, p.some(t))
	case "cache no message":
		b := p.some(t)
		p.cached = append(p.cached, b[:rapid.IntRange(0, len(b)).Draw(t, "bytes")])
	case "forget":
		taken(t, &p.cached)
	case "evict":
		ids := slices.Sorted(maps.Keys(p.live))
		for _, b := range p.known[max(0, len(p.known)-3):] { // perhaps appended by this very update
			ids = append(ids, idOf(t, b))
		}
		if len(ids) > 0 {
			p.update.Evict = append(p.update.Evict, rapid.SampledFrom(ids).Draw(t, "evicted"))
		}
	}
}

// snapshot encodes the buffers.
func (p *member) snapshot() []byte {
	p.clock++
	field := func(b []byte, number protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
	}
	varint := func(b []byte, number protowire.Number, v int64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(v)) //nolint:gosec // above 0
	}
	b := varint(varint(nil, 1, sds.SchemaVersion), 2, p.clock)
	for _, m := range p.outgoing {
		b = field(b, 3, varint(varint(field(nil, 1, m), 2, p.clock), 3, 1))
	}
	for _, m := range p.incoming {
		b = field(b, 4, field(field(nil, 1, m), 2, []byte("missing")))
	}
	entry, _ := (&sds.HistoryEntry{MessageID: "x"}).MarshalBinary() // never fails
	for _, m := range p.cached {
		b = field(b, 6, field(field(nil, 1, []byte("x")), 2, varint(field(field(nil, 1, entry), 2, m), 3, p.clock)))
	}
	return b
}

func (p *member) commit(t *rapid.T) {
	for range rapid.IntRange(1, 6).Draw(t, "changes") {
		p.change(t)
	}
	if nth := rapid.IntRange(-9, 4).Draw(t, "fault"); nth > 0 {
		f := rapid.SampledFrom([]fault{refuse, lose}).Draw(t, "kind")
		p.m.setFault(func(string) fault { // the nth request and all that come then
			if nth--; nth <= 0 {
				return f
			}
			return none
		})
	}
	p.store(t)
}

// burst moves the window of history on.
func (p *member) burst(t *rapid.T) {
	live := slices.Sorted(maps.Keys(p.live))
	for range rapid.IntRange(20, 150).Draw(t, "burst") {
		b := p.fresh(t)
		p.update.Append = append(p.update.Append, b)
		live = append(live, idOf(t, b))
	}
	keep := rapid.IntRange(0, len(live)).Draw(t, "kept")
	stay := rapid.IntRange(0, 3).Draw(t, "stay")
	p.update.Evict = append(p.update.Evict, live[stay:max(stay, len(live)-keep)]...)
	p.store(t)
}

// store commits the buffers and the update, and expects that both are stored, or neither.
func (p *member) store(t *rapid.T) {
	meta, before := p.snapshot(), p.kept
	p.applyEncoded(t, string(meta), p.update)
	err := p.a.CommitEncoded(t.Context(), channel, meta, p.update)
	p.m.setFault(at("", none))
	p.update = sds.EncodedHistoryUpdate{}
	if err == nil {
		return
	}
	if rapid.Bool().Draw(t, "crash") {
		p.open(t)
		d, err := p.a.LoadEncodedChannel(t.Context(), channel)
		if err != nil {
			t.Fatalf("load after a crash: %v", err)
		}
		if string(d.Meta) != string(meta) {
			p.kept = before
		}
		p.holds(t, d)
		return
	}
	if err := p.a.Flush(t.Context()); errors.Is(err, sds.ErrUnknownOutcome) { // a claim got no answer
		p.kept = before
		p.reload(t)
	} else if err != nil {
		t.Fatalf("flush: %v", err)
	}
}

func (p *member) reload(t *rapid.T) {
	if rapid.Bool().Draw(t, "other adapter") {
		p.open(t)
	}
	loadsExactly(t, p.a, &p.kept)
}

func (p *member) archive(t *rapid.T) {
	if _, err := p.a.Archive(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	yieldsExactly(t, p.a, &p.kept)
}

func (p *member) sweep(t *rapid.T) {
	if _, err := p.a.Sweep(t.Context(), channel, nil); err != nil {
		t.Fatal(err)
	}
	yieldsExactly(t, p.a, &p.kept)
}

func (p *member) drop(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		t.Skip()
	}
	if err := p.a.DropChannel(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	p.kept = kept{}
}

// check finds each message that is history by its id, and nothing broken.
func (p *member) check(t *rapid.T) {
	c, err := p.a.Check(t.Context(), channel, nil)
	if err != nil || c.Has(sdsaws.Broken) {
		t.Fatalf("check: %+v, %v", c, err)
	}
	if len(p.live) > 0 {
		id := rapid.SampledFrom(slices.Sorted(maps.Keys(p.live))).Draw(t, "looked for")
		if m, err := p.a.Message(t.Context(), channel, id); err != nil || string(m.Encoded) != p.live[id] {
			t.Fatalf("Message %q: %v", id, err)
		}
	}
}
