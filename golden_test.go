package sdsaws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

var updateGolden = flag.Bool("update", false, "write testdata/golden/"+format+" anew")

// format names the newest golden set. What changes the stored format (docs/format.md) gives it a new
// name, and leaves the sets of the formats before as they are.
const format = "1-references"

// golden is what a store in testdata/golden must hold, in the file want.json beside it.
type golden struct {
	Channels map[string]goldenChannel
	Hints    map[string][]byte
}

type goldenChannel struct {
	Meta     []byte
	Messages [][]byte        // as a load gives them
	History  []goldenMessage // as History gives it
}

type goldenMessage struct {
	Offset  uint64
	Live    bool
	At      int64 // when it was archived, in milliseconds; 0: it is in the log
	Encoded []byte
}

// TestGolden reads what was stored in each format that ever was, and writes on.
// With -update it writes the newest set first.
func TestGolden(t *testing.T) {
	root := filepath.Join("testdata", "golden")
	if *updateGolden {
		writeGolden(t, filepath.Join(root, format))
	}
	sets, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	newest := false
	for _, set := range sets {
		newest = newest || set.Name() == format
		t.Run(set.Name(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store") // reading claims
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, set.Name()))); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(dir, "want.json"))
			if err != nil {
				t.Fatal(err)
			}
			var want golden
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			readGolden(t, dir, &want)
		})
	}
	if !newest {
		t.Errorf("there is no set %s: write it with go test -run Golden -update", format)
	}
}

func openGolden(t *testing.T, dir string, o sdsaws.Options) *sdsaws.Adapter {
	t.Helper()
	s, err := embedded.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	o.Namespace, o.Clock, o.InlineBytes, o.ArchiveMessages = "golden", stopped{}, 1000, 1<<30
	a, err := sdsaws.New(sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()}, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

func readGolden(t *testing.T, dir string, want *golden) {
	a := openGolden(t, dir, sdsaws.Options{})
	if got := heldBy(t, a, want); !bytes.Equal(got, jsonOf(t, want)) {
		t.Fatal("other data than was stored: compare want.json with " + failedGolden(t, got))
	}
	for id := range want.Channels {
		c, err := a.Check(t.Context(), id, nil)
		if err != nil || c.Has(sdsaws.Broken) {
			t.Fatalf("check of %q: %+v, %v", id, c, err)
		}
		for _, h := range want.Channels[id].History {
			info, err := sds.InspectMessage(h.Encoded)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Message(t.Context(), id, info.MessageID); err != nil {
				t.Fatal(err)
			}
		}
		// Work goes on in it, archiving too.
		before := want.Channels[id]
		if err := a.CommitEncoded(t.Context(), id, before.Meta, sds.EncodedHistoryUpdate{
			Append: [][]byte{[]byte(encoded(t, &sds.Message{MessageID: "new", LamportTimestamp: 1 << 60, ChannelID: id}))},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Archive(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		d, err := a.LoadEncodedChannel(t.Context(), id)
		if err != nil || !bytes.Equal(d.Meta, before.Meta) || len(d.Messages) != len(before.Messages)+1 {
			t.Fatalf("%q has %d messages then, %v", id, len(d.Messages), err)
		}
	}
}

func jsonOf(t *testing.T, g *golden) []byte {
	t.Helper()
	b, err := json.MarshalIndent(g, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func failedGolden(t *testing.T, got []byte) string {
	t.Helper()
	f, err := os.CreateTemp("", "golden-*.json")
	if err == nil {
		_, err = f.Write(got)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// heldBy returns, as want.json has it, what an adapter reads of the channels and hints of want.
func heldBy(t *testing.T, a *sdsaws.Adapter, want *golden) []byte {
	t.Helper()
	got := &golden{map[string]goldenChannel{}, map[string][]byte{}}
	for id := range want.Channels {
		var c goldenChannel
		for h, err := range a.History(t.Context(), id, sdsaws.HistoryRange{}) {
			if err != nil {
				t.Fatal(err)
			}
			at := int64(0)
			if !h.ArchivedAt.IsZero() {
				at = h.ArchivedAt.UnixMilli()
			}
			c.History = append(c.History, goldenMessage{h.Offset, h.Live, at, h.Encoded})
		}
		d, err := a.LoadEncodedChannel(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		c.Meta, c.Messages = d.Meta, d.Messages
		got.Channels[id] = c
	}
	for id := range want.Hints {
		found, err := a.Hints(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		got.Hints[id] = found[id]
	}
	return jsonOf(t, got)
}

// writeGolden makes a store that holds something of each kind.
func writeGolden(t *testing.T, dir string) {
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var model map[string]*kept
	want := &golden{map[string]goldenChannel{}, map[string][]byte{"m3": []byte("hint"), "m4": {}}}
	func() {
		s, err := embedded.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		a, err := sdsaws.New(sdsaws.Backend{Log: fewMessages{s}, Hints: s, Archive: s.Archive()}, &sdsaws.Options{
			Namespace: "golden", Writer: "golden", Region: "eu-central-1", Clock: stopped{}, InlineBytes: 1000, ArchiveMessages: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		model = goldenTraffic(t, a)
		for id, hint := range want.Hints {
			if err := a.SetRetrievalHint(t.Context(), id, hint); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}()
	// What is wanted is read by the code that wrote it, and held against a model.
	for id := range model {
		want.Channels[id] = goldenChannel{}
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	b := heldBy(t, openGolden(t, copied, sdsaws.Options{}), want)
	if err := json.Unmarshal(b, want); err != nil {
		t.Fatal(err)
	}
	for id, k := range model {
		c := want.Channels[id]
		k.holds(t, sds.EncodedChannelData{Meta: c.Meta, Messages: c.Messages})
		var all []string
		for _, h := range c.History {
			all = append(all, string(h.Encoded))
		}
		same(t, "History of "+id, all, k.all())
	}
	if err := os.WriteFile(filepath.Join(dir, "want.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// fewMessages is a store that takes few messages in one commit, so that more are staged.
type fewMessages struct{ *embedded.Store }

func (s fewMessages) Limits(key store.Key) store.Limits {
	l := s.Store.Limits(key)
	l.Messages = 5
	return l
}

// goldenTraffic stores channels, and returns what they must hold.
func goldenTraffic(t *testing.T, a *sdsaws.Adapter) map[string]*kept {
	model := map[string]*kept{"empty": {}}
	commit := func(id string, meta *sds.ChannelMeta, u *sds.HistoryUpdate) {
		t.Helper()
		if model[id] == nil {
			model[id] = &kept{}
		}
		model[id].apply(t, meta, u)
		if err := a.Commit(t.Context(), id, meta, u); err != nil {
			t.Fatal(err)
		}
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	made := func(id string, size int) sds.Message {
		bloom := bytes.Repeat([]byte("bloom filter "), 20)
		bloom[int(id[len(id)-1])%len(bloom)]++
		return sds.Message{MessageID: id, LamportTimestamp: int64(len(id)), ChannelID: "c", SenderID: "s" + id[len(id)-1:],
			BloomFilter: bloom, Content: append([]byte(id), large(size)[:min(size, 600)]...),
			CausalHistory: []sds.HistoryEntry{{MessageID: "before " + id, RetrievalHint: []byte("h"), SenderID: "s"}}}
	}
	all := func(size, from, n int) (u *sds.HistoryUpdate) {
		u = &sds.HistoryUpdate{}
		for i := range n {
			u.Append = append(u.Append, made(fmt.Sprint("m", from+i), size))
		}
		return u
	}
	must(a.LoadChannel(t.Context(), "empty"))
	commit("snapshot alone", meta(7), &sds.HistoryUpdate{})
	commit("plain", meta(1), all(20, 0, 1))

	// Groups, buffers of each kind, a message twice, cached bytes that are no message.
	buffers := func(clock int64, messages ...sds.Message) *sds.ChannelMeta {
		s := meta(clock)
		for i, m := range messages {
			cached := []byte(encoded(t, &m))
			s.OutgoingBuffer = append(s.OutgoingBuffer, sds.OutgoingMessage{Message: m, SendTimeMs: clock, ResendAttempts: uint32(i)})
			s.IncomingBuffer = append(s.IncomingBuffer, sds.IncomingMessage{Message: made("in"+m.MessageID, 30), MissingDeps: []string{"x"}})
			s.IncomingRepairBuffer = append(s.IncomingRepairBuffer,
				sds.IncomingRepair{MessageID: m.MessageID, CachedMessage: cached[:len(cached)-i], MinTimeMs: 5})
			s.OutgoingRepairBuffer = append(s.OutgoingRepairBuffer, sds.OutgoingRepair{MessageID: "r", MinTimeMs: 6})
		}
		return s
	}
	for i := range 6 {
		u := all(20, 4*i, 4)
		commit("groups", buffers(int64(i+1), u.Append[:2]...), u)
	}
	commit("groups", buffers(9, made("m3", 20)), &sds.HistoryUpdate{Append: []sds.Message{made("inm20", 30)}, Evict: []string{"m1", "m5"}})

	// More messages than a skeleton is packed against, some twice, and names that they have.
	many := meta(8)
	for i := range 80 {
		m := made(fmt.Sprint("many", i%75), 30)
		many.IncomingBuffer = append(many.IncomingBuffer, sds.IncomingMessage{Message: m, MissingDeps: []string{fmt.Sprint("m", i)}})
		many.OutgoingRepairBuffer = append(many.OutgoingRepairBuffer, sds.OutgoingRepair{MessageID: m.MessageID, MinTimeMs: int64(i)})
	}
	commit("many", many, all(20, 0, 3))

	// Values of messages and of a snapshot.
	big := made("big", 600)
	big.Content = bytes.Join([][]byte{large(1), large(2), large(3)}, nil)
	s := meta(3)
	s.OutgoingRepairBuffer = []sds.OutgoingRepair{{MessageID: string(big.Content)}}
	commit("values", s, &sds.HistoryUpdate{Append: []sds.Message{big, made("small", 3)}})

	commit("staged", meta(1), all(40, 0, 12)) // passes the limit of fewMessages

	// Segments, what waits for one, and an id twice.
	for i := range 10 {
		u := all(25, 5*i, 5)
		if i > 1 {
			u.Evict = names(5*(i-2), 5)
		}
		commit("archived", meta(int64(i)), u)
		if i == 4 || i == 7 {
			must(a.Archive(t.Context(), "archived"))
		}
	}
	commit("archived", meta(20), &sds.HistoryUpdate{Append: []sds.Message{made("m2", 25)}, Evict: []string{"m41"}})

	commit("dropped", meta(1), all(20, 0, 5))
	commit("created anew", meta(1), all(20, 0, 5))
	for _, id := range []string{"dropped", "created anew"} {
		must(nil, a.DropChannel(t.Context(), id))
		delete(model, id)
	}
	model["dropped"] = &kept{}
	commit("created anew", meta(2), all(20, 3, 3))
	return model
}
