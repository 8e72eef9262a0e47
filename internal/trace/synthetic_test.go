package trace

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/sds"
)

//go:generate go test -run TestSyntheticTraces -update

var update = flag.Bool("update", false, "write the synthetic traces")

const maxSynthetic = 100 << 10 // bytes of a file in testdata

// synthetic are traces of what recordings don't hold: docs/design.md, "Cases that
// recordings don't hold". Each load names the messages that it expects, so that
// the model doesn't vouch for itself.
var synthetic = map[string]func(s *script){
	"append-live-same": func(s *script) {
		s.each(func(p *actor) {
			p.pair([][]byte{msg("a", 1, "1"), msg("b", 2, "1")}, nil)
			p.restart("a/1", "b/1")
			p.pair([][]byte{msg("a", 1, "1")}, nil)
			p.restart("a/1", "b/1")
			p.pair([][]byte{msg("b", 2, "1"), msg("c", 3, "1"), msg("c", 3, "1")}, nil)
			p.restart("a/1", "b/1", "c/1")
			p.pair([][]byte{msg("a", 1, "1")}, []string{"a"})
			p.restart("b/1", "c/1")
		})
	},
	"append-live-other": func(s *script) {
		s.each(func(p *actor) {
			p.pair([][]byte{msg("a", 1, "1"), msg("b", 2, "1")}, nil)
			p.pair([][]byte{msg("a", 1, "2")}, nil)
			p.restart("a/2", "b/1")
			p.pair([][]byte{msg("a", 3, "3")}, nil) // another clock: another place
			p.restart("b/1", "a/3")
			p.pair([][]byte{msg("b", 2, "2"), msg("b", 2, "3")}, nil)
			p.restart("b/3", "a/3")
			p.pair([][]byte{msg("a", 3, "1"), msg("a", 3, "3")}, []string{"b"})
			p.restart("a/3")
			p.pair(nil, []string{"a"})
			p.restart()
		})
	},
	"append-evicted-again": func(s *script) {
		s.each(func(p *actor) {
			p.pair([][]byte{msg("a", 1, "1"), msg("b", 2, "1")}, nil)
			p.pair(nil, []string{"a"})
			p.restart("b/1")
			p.pair([][]byte{msg("a", 1, "1")}, nil)
			p.restart("a/1", "b/1")
			p.pair(nil, []string{"a", "b"})
			p.pair([][]byte{msg("b", 2, "1")}, nil) // no restart between
			p.restart("b/1")
			p.pair(nil, []string{"b"})
			p.restart()
			p.drop()
			p.pair([][]byte{msg("b", 2, "1")}, nil)
			p.restart("b/1")
		})
	},
	"append-evicted-other": func(s *script) {
		s.each(func(p *actor) {
			p.pair([][]byte{msg("a", 1, "1"), msg("b", 2, "1")}, nil)
			p.pair(nil, []string{"a"})
			p.pair([][]byte{msg("a", 1, "2")}, nil)
			p.restart("a/2", "b/1")
			p.pair(nil, []string{"a"})
			p.restart("b/1")
			p.pair([][]byte{msg("a", 5, "3")}, nil)
			p.restart("b/1", "a/3")
			p.pair(nil, []string{"a"})
			p.pair([][]byte{msg("a", 1, "1")}, nil) // as at first
			p.restart("a/1", "b/1")
		})
	},
	"evict-unknown": func(s *script) {
		s.each(func(p *actor) {
			p.pair(nil, []string{"a"}) // in an empty channel
			p.restart()
			p.pair([][]byte{msg("a", 1, "1")}, []string{"b", "", "a\x00"})
			p.restart("a/1")
			p.pair(nil, []string{"b", "a", "a", "b"})
			p.restart()
			p.pair([][]byte{msg("b", 2, "1")}, nil)
			p.restart("b/1")
			p.drop()
			p.pair(nil, []string{"b"})
			p.restart()
		})
	},
	"evict-buffered": func(s *script) {
		s.each(func(p *actor) {
			p.buffer(msg("x", 4, "1"))
			p.pair([][]byte{msg("a", 1, "1")}, nil)
			p.pair(nil, []string{"x"}) // is in a buffer alone
			p.restart("a/1")
			p.pair([][]byte{msg("x", 4, "1")}, nil) // delivered, and buffered still
			p.restart("a/1", "x/1")
			p.pair(nil, []string{"x"})
			p.restart("a/1")
			p.buffer()
			p.pair(nil, []string{"x"})
			p.restart("a/1")
			p.buffer(msg("x", 4, "2")) // the known id with other bytes
			p.pair([][]byte{msg("x", 4, "1")}, nil)
			p.restart("a/1", "x/1")
		})
	},
	"evict-uncommitted": func(s *script) {
		s.each(func(p *actor) {
			p.pair([][]byte{msg("a", 1, "1"), msg("b", 2, "1")}, []string{"a"})
			p.restart("b/1")
			p.pair([][]byte{msg("c", 3, "1")}, nil)
			p.pair(nil, []string{"c"})
			p.restart("b/1")
			p.update([][]byte{msg("d", 4, "1")}, nil) // without snapshots between
			p.update(nil, []string{"d"})
			p.update([][]byte{msg("e", 5, "1")}, []string{"b"})
			p.update([][]byte{msg("d", 4, "1")}, nil)
			p.restart("d/1", "e/1")
			p.pair([][]byte{msg("e", 5, "2")}, []string{"e"}) // replaced and evicted
			p.restart("d/1")
		})
	},
	"hostile-ids": hostile,
}

// hostile has channels and messages whose ids look like something else.
func hostile(s *script) {
	ids := []string{"", "\x00", "\x00\x00", "\xff", "\xff\xfe\xfd", "a/b", "a%2Fb", "..", "a\n",
		"\"", "*", "?", ":sha256:", "m#0000000000000000", "é", "e\u0301", strings.Repeat("x", 1100)}
	for _, p := range []*actor{s.actor("\x00/\xff*?", "c"), s.actor("p", "c")} {
		var all [][]byte
		var want []string
		for _, id := range slices.Backward(ids) {
			all = append(all, msg(id, 7, "1"))
		}
		for _, id := range slices.Sorted(slices.Values(ids)) {
			want = append(want, id+"/1")
		}
		p.pair(all, nil)
		p.hint("\x00", "hint")
		p.hint("", "\xff\x00")
		p.restart(want...)
		p.pair(nil, ids[3:])
		p.restart("/1", "\x00/1", "\x00\x00/1")
		p.pair(nil, ids[1:3])
		p.restart("/1")
		for _, channel := range ids[1:] {
			c := s.actor(p.participant, channel)
			c.pair([][]byte{msg(channel, 1, "1")}, nil)
			c.restart(channel + "/1")
		}
		dropped := s.actor(p.participant, "a/b")
		dropped.drop()
		dropped.restart()
		s.actor(p.participant, "a%2Fb").restart("a%2Fb/1")
		p.restart("/1")
	}
}

// script writes a trace and keeps the model along with it.
type script struct {
	t     *testing.T
	w     *Writer
	model Model
	n     int
	ms    int64
}

// each plays the same in several channels of two participants, one after another.
func (s *script) each(play func(p *actor)) {
	for _, name := range []string{"participant1", "participant2"} {
		for _, channel := range []string{"/group/0/chat", "/group/1/chat"} {
			play(s.actor(name, channel))
		}
	}
	s.actor("participant3", "/group/0/chat").restart()
}

func (s *script) actor(participant, channel string) *actor {
	return &actor{s: s, participant: participant, channel: channel}
}

func (s *script) do(op Op) {
	s.t.Helper()
	s.n++
	op.N, op.MS = s.n, s.ms
	err := s.model.Apply(op)
	if err == nil {
		err = s.w.Write(op)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// actor is a participant in a channel.
type actor struct {
	s                    *script
	participant, channel string
	buffered             []sds.IncomingMessage
	clock                int64
}

func (p *actor) op(kind Kind) Op {
	return Op{Participant: p.participant, Kind: kind, Channel: p.channel}
}

// buffer sets the messages of the snapshots to come.
func (p *actor) buffer(messages ...[]byte) {
	p.s.t.Helper()
	p.buffered = nil
	for _, b := range messages {
		in := sds.IncomingMessage{MissingDeps: []string{"missing"}}
		if err := in.Message.UnmarshalBinary(b); err != nil {
			p.s.t.Fatal(err)
		}
		p.buffered = append(p.buffered, in)
	}
}

// pair saves a snapshot and updates the history. No time passes between, nor between
// one pair and the next.
func (p *actor) pair(appended [][]byte, evicted []string) {
	p.s.t.Helper()
	p.clock++
	meta, err := (&sds.ChannelMeta{SchemaVersion: sds.SchemaVersion, LamportTimestamp: p.clock,
		IncomingBuffer: p.buffered}).MarshalBinary()
	if err != nil {
		p.s.t.Fatal(err)
	}
	op := p.op(SaveChannelMeta)
	op.Meta = meta
	p.s.do(op)
	p.update(appended, evicted)
}

func (p *actor) update(appended [][]byte, evicted []string) {
	p.s.t.Helper()
	op := p.op(UpdateHistory)
	op.Append, op.Evict = appended, evicted
	p.s.do(op)
}

func (p *actor) hint(id, hint string) {
	p.s.t.Helper()
	p.s.do(Op{Participant: p.participant, Kind: SetRetrievalHint, MessageID: id, Hint: []byte(hint)})
}

func (p *actor) drop() {
	p.s.t.Helper()
	p.s.do(p.op(DropChannel))
	p.clock = 0
}

// restart loads the channel and expects the messages, each named by id, '/', content.
func (p *actor) restart(want ...string) {
	p.s.t.Helper()
	p.s.ms += 1000
	data := p.s.model.Load(p.participant, p.channel)
	var got []string
	for _, b := range data.Messages {
		var m sds.Message
		if err := m.UnmarshalBinary(b); err != nil {
			p.s.t.Fatal(err)
		}
		got = append(got, m.MessageID+"/"+string(m.Content))
	}
	if !slices.Equal(got, want) {
		p.s.t.Errorf("operation %d: the model has %q, want %q", p.s.n+1, got, want)
	}
	p.s.do(p.s.model.Expect(p.op(LoadChannel)))
}

func msg(id string, lamport int64, content string) []byte {
	b, err := (&sds.Message{
		MessageID:        id,
		LamportTimestamp: lamport,
		CausalHistory:    []sds.HistoryEntry{{MessageID: "before", RetrievalHint: []byte{0, 1}}},
		ChannelID:        "/group/0/chat",
		Content:          []byte(content),
		BloomFilter:      []byte{1, 2, 3},
		SenderID:         "sender",
	}).MarshalBinary()
	if err != nil {
		panic(err) // never: it has no bounds
	}
	return b
}

// TestSyntheticTraces holds the files against the scripts; with -update it writes them.
func TestSyntheticTraces(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.jsonl"))
	if err != nil || len(files) != len(synthetic) && !*update {
		t.Errorf("testdata has %d traces and not %d: %v", len(files), len(synthetic), err)
	}
	for name, play := range synthetic {
		t.Run(name, func(t *testing.T) {
			var want bytes.Buffer
			s := &script{t: t, w: NewWriter(&want)}
			play(s)
			if err := s.w.Flush(); err != nil {
				t.Fatal(err)
			}
			if want.Len() > maxSynthetic {
				t.Errorf("%d bytes, at most %d are wanted", want.Len(), maxSynthetic)
			}
			file := filepath.Join("testdata", name+".jsonl")
			if *update {
				if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil { //nolint:gosec // no secret
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(file)
			if err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%s is not what its script writes (%v): run go generate", file, err)
			}
			if loads := reproduces(t, bytes.NewReader(got)); loads < 5 {
				t.Errorf("only %d loads", loads)
			}
		})
	}
}
