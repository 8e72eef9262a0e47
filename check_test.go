package sdsaws_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// shelf is a channel that has everything that can be damaged: two segments, messages that
// were evicted and are in the log, some of them large, history with a large message, and a
// large snapshot.
type shelf struct {
	*memory
	a *sdsaws.Adapter
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	m := newMemory()
	s := &shelf{m, open(t, m, sdsaws.Options{})}
	for i := range 2 {
		fill(t, s.a, 10*i, 10, 2)
		if _, err := s.a.Sweep(t.Context(), channel, nil); err != nil {
			t.Fatal(err)
		}
	}
	u := appends("old", "old and large", "large")
	u.Append[1].Content, u.Append[2].Content = noise(), noise()
	u.Evict = names(18, 2)
	if err := s.a.Commit(t.Context(), channel, bigMeta(100), u); err != nil {
		t.Fatal(err)
	}
	u = appends("new")
	u.Evict = []string{"old", "old and large"}
	if err := s.a.Commit(t.Context(), channel, bigMeta(100), u); err != nil {
		t.Fatal(err)
	}
	if err := s.a.SetRetrievalHint(t.Context(), "large", []byte("hint")); err != nil {
		t.Fatal(err)
	}
	if err := s.a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// offset returns where the message is in the log.
func (s *shelf) offset(t *testing.T, id string) (offset uint64) {
	t.Helper()
	found := false
	s.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
		for o, m := range all {
			if m.ID == id {
				offset, found = o, true
			}
		}
	})
	if !found {
		t.Fatalf("%q is not in the log", id)
	}
	return offset
}

// alter changes the message with the id; nil removes it.
func (s *shelf) alter(t *testing.T, id string, change func(*store.Message)) {
	t.Helper()
	o := s.offset(t, id)
	s.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
		m := all[o]
		delete(all, o)
		if change != nil {
			change(&m)
			all[m.Offset] = m
		}
	})
}

// rewrite changes what the head says, with a checksum that fits.
func (s *shelf) rewrite(t *testing.T, change func(*store.Head, *record.Head)) {
	t.Helper()
	s.Edit(key, func(h *store.Head, _ map[uint64]store.Message) {
		r, err := record.OpenHead(key, *h)
		if err != nil {
			t.Fatal(err)
		}
		change(h, r)
		h.Body = r.Body(key, *h)
	})
}

// manifest changes the i-th manifest, with a checksum that fits.
func (s *shelf) manifest(t *testing.T, i int, change func(*store.Segment, *record.Manifest)) {
	t.Helper()
	all, err := s.Memory.Segments(t.Context(), key, 0, 10)
	if err != nil || i >= len(all) {
		t.Fatalf("%d manifests, %v", len(all), err)
	}
	m, err := record.OpenManifest(key, all[i])
	if err != nil {
		t.Fatal(err)
	}
	change(&all[i], m)
	all[i].Body = m.Body(key, all[i])
	if err := s.Memory.ReplaceSegment(t.Context(), key, all[i]); err != nil {
		t.Fatal(err)
	}
}

// value returns the name of the object that the message with the id refers to.
func (s *shelf) value(t *testing.T, id string) (name string) {
	t.Helper()
	o := s.offset(t, id)
	s.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
		v, err := record.MessageValue(all[o].Body)
		if err != nil || v == nil {
			t.Fatalf("%q refers to %v, %v", id, v, err)
		}
		name = record.Folder(record.Values, key) + v.Name
	})
	return name
}

func (s *shelf) put(t *testing.T, kind record.Kind, name string) {
	t.Helper()
	if _, err := s.archive.MemoryArchive.Put(t.Context(), record.Folder(kind, key)+name, []byte("x")); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 1
	return b
}

// TestACheckNamesWhatIsBroken damages a channel in one way after the other: a check names
// it, and a repair leaves all as it is.
func TestACheckNamesWhatIsBroken(t *testing.T) {
	segments := record.Folder(record.Segments, key)
	for name, c := range map[string]struct {
		damage func(t *testing.T, s *shelf)
		item   string // what the finding's item begins with
		want   error
	}{
		"the head is gone": {func(_ *testing.T, s *shelf) { s.RemoveHead(key) }, "head", sds.ErrIncomplete},
		"a bit of the head": {func(_ *testing.T, s *shelf) {
			s.Edit(key, func(h *store.Head, _ map[uint64]store.Message) { h.Body = flip(h.Body) })
		}, "head", sds.ErrCorrupt},
		"a newer head": {func(_ *testing.T, s *shelf) {
			s.Edit(key, func(h *store.Head, _ map[uint64]store.Message) { h.Body[0] = 99 })
		}, "head", sds.ErrUnsupportedFormat},
		"the head's offsets": {func(_ *testing.T, s *shelf) {
			s.Edit(key, func(h *store.Head, _ map[uint64]store.Message) { h.Next++ })
		}, "head", sds.ErrCorrupt},
		"the digest": {func(t *testing.T, s *shelf) {
			s.rewrite(t, func(_ *store.Head, r *record.Head) { r.Digest[3] ^= 1 })
		}, "digest", sds.ErrCorrupt},
		"an older head": {func(t *testing.T, s *shelf) {
			h := s.head(t)
			if err := s.a.Commit(t.Context(), channel, bigMeta(100), appends("newer")); err != nil {
				t.Fatal(err)
			}
			s.Edit(key, func(now *store.Head, _ map[uint64]store.Message) { *now = h })
		}, "message at offset", sds.ErrCorrupt},
		"history is missing": {func(t *testing.T, s *shelf) { s.alter(t, "new", nil) }, "message at offset", sds.ErrIncomplete},
		"evicted history is missing": {func(t *testing.T, s *shelf) { s.alter(t, "old", nil) },
			"message at offset", sds.ErrIncomplete},
		"a bit of history": {func(t *testing.T, s *shelf) {
			s.alter(t, "new", func(m *store.Message) { m.Body = flip(m.Body) })
		}, "message at offset", sds.ErrCorrupt},
		"a bit of evicted history": {func(t *testing.T, s *shelf) {
			s.alter(t, "old", func(m *store.Message) { m.Body = flip(m.Body) })
		}, "message at offset", sds.ErrCorrupt},
		"a message in another's place": {func(t *testing.T, s *shelf) {
			o := s.offset(t, "new")
			s.alter(t, "old", func(m *store.Message) { m.Offset = o })
		}, "message at offset", sds.ErrCorrupt},
		"a message under another id": {func(t *testing.T, s *shelf) {
			s.alter(t, "new", func(m *store.Message) { m.ID = "other" })
		}, "message at offset", sds.ErrCorrupt},
		"a message with another time": {func(t *testing.T, s *shelf) {
			s.alter(t, "new", func(m *store.Message) { m.Lamport++ })
		}, "message at offset", sds.ErrCorrupt},
		"the value of history is missing": {func(t *testing.T, s *shelf) {
			s.archive.Edit(s.value(t, "large"), nil)
		}, "message at offset", sds.ErrIncomplete},
		"a bit of the value of history": {func(t *testing.T, s *shelf) {
			s.archive.Edit(s.value(t, "large"), flip)
		}, "message at offset", sds.ErrCorrupt},
		"the value of evicted history is missing": {func(t *testing.T, s *shelf) {
			s.archive.Edit(s.value(t, "old and large"), nil)
		}, "message at offset", sds.ErrIncomplete},
		"the snapshot's value is missing": {func(t *testing.T, s *shelf) {
			s.archive.Edit(s.snapshotValue(t), nil)
		}, "snapshot", sds.ErrIncomplete},
		"a bit of the snapshot's value": {func(t *testing.T, s *shelf) {
			s.archive.Edit(s.snapshotValue(t), flip)
		}, "snapshot", sds.ErrCorrupt},
		"two of one id": {func(t *testing.T, s *shelf) {
			o := s.head(t).Next
			term := s.again(t, "new", o)
			s.rewrite(t, func(h *store.Head, r *record.Head) {
				h.Next++
				r.Live.Add(o)
				r.History.Add(o)
				r.Digest.Add(term)
			})
		}, "message at offset", sds.ErrCorrupt},
		"the last manifest is missing": {func(t *testing.T, s *shelf) {
			s.rewrite(t, func(h *store.Head, r *record.Head) { r.Trim(h.Start) })
			s.dropManifests(t, 1)
		}, "manifest of the segment from offset", sds.ErrIncomplete},
		"the first manifest is missing": {func(t *testing.T, s *shelf) {
			all, err := s.Memory.Segments(t.Context(), key, 0, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.DeleteSegments(t.Context(), key, all[0].From+1); err != nil {
				t.Fatal(err)
			}
		}, "manifest of the segment from offset 0", sds.ErrIncomplete},
		"a bit of a manifest": {func(t *testing.T, s *shelf) {
			all, err := s.Memory.Segments(t.Context(), key, 0, 1)
			if err != nil {
				t.Fatal(err)
			}
			all[0].Body = flip(all[0].Body)
			if err := s.Memory.ReplaceSegment(t.Context(), key, all[0]); err != nil {
				t.Fatal(err)
			}
		}, "manifest of the segment from offset 0", sds.ErrCorrupt},
		"an older manifest": {func(t *testing.T, s *shelf) {
			s.manifest(t, 0, func(_ *store.Segment, m *record.Manifest) { m.State = record.Writing })
		}, "manifest of the segment from offset 0", sds.ErrCorrupt},
		"a manifest of what is not evicted": {func(t *testing.T, s *shelf) {
			s.manifest(t, 1, func(g *store.Segment, _ *record.Manifest) { g.To = 23 })
		}, "manifest of the segment from offset", sds.ErrCorrupt},
		"a segment is missing": {func(_ *testing.T, s *shelf) { s.archive.Edit(segments, nil) },
			"segment 0-0-", sds.ErrIncomplete},
		"a bit of a segment": {func(_ *testing.T, s *shelf) { s.archive.Edit(segments+"0-0-", flip) },
			"segment 0-0-", sds.ErrCorrupt},
		"a segment with fewer messages than were evicted": {func(t *testing.T, s *shelf) {
			s.manifest(t, 0, func(g *store.Segment, m *record.Manifest) { m.History.Remove(0); m.History.Remove(1) })
		}, "segment 0-0-", sds.ErrCorrupt},
		"a segment without a manifest": {func(t *testing.T, s *shelf) {
			s.put(t, record.Segments, "0-21-22.parquet")
		}, "segment 0-21-22", sds.ErrIncomplete},
		"a foreign object": {func(t *testing.T, s *shelf) { s.put(t, record.Segments, "_SUCCESS") },
			"segment _SUCCESS", sds.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			s.put(t, record.Values, strings.Repeat("0", 32)+"-left-0") // garbage, which stays
			c.damage(t, s)
			before := s.archive.names(t)
			for _, repair := range []bool{false, true} {
				got, err := open(t, s.memory, sdsaws.Options{}).Check(t.Context(), channel, &sdsaws.CheckOptions{Repair: repair})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(got.Findings, func(f sdsaws.Finding) bool {
					return f.Verdict == sdsaws.Broken && !f.Repaired && strings.HasPrefix(f.Item, c.item) && errors.Is(f.Err, c.want)
				}) {
					t.Errorf("repair %v: want %q, %v in %+v", repair, c.item, c.want, got.Findings)
				}
			}
			if after := s.archive.names(t); !slices.Equal(after, before) {
				t.Errorf("a repair of a broken channel left %q of %q", after, before)
			}
		})
	}
}

// snapshotValue returns the name of the snapshot's object.
func (s *shelf) snapshotValue(t *testing.T) (name string) {
	t.Helper()
	s.rewrite(t, func(_ *store.Head, r *record.Head) { name = record.Folder(record.Values, key) + r.Value.Name })
	return name
}

// again writes the message with the id once more, at another offset.
func (s *shelf) again(t *testing.T, id string, offset uint64) (term record.Term) {
	t.Helper()
	from := s.offset(t, id)
	s.Edit(key, func(_ *store.Head, all map[uint64]store.Message) {
		m := all[from]
		var c record.Codec
		plain, _, err := c.OpenMessage(from, id, m.Body, nil)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := c.Pack(plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		term = record.NewTerm(offset, id, sha256.Sum256(plain))
		m.Offset, m.Body = offset, record.Message(term, packed)
		all[offset] = m
	})
	return term
}

// dropManifests removes the manifests but for the first so many.
func (s *shelf) dropManifests(t *testing.T, keep int) {
	t.Helper()
	all, err := s.Memory.Segments(t.Context(), key, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSegments(t.Context(), key, all[len(all)-1].From+1); err != nil {
		t.Fatal(err)
	}
	for _, g := range all[:keep] {
		if err := s.AddSegment(t.Context(), key, s.head(t).Origin, g); err != nil {
			t.Fatal(err)
		}
	}
}

// names returns the names of all objects.
func (a *memoryArchive) names(t *testing.T) (names []string) {
	t.Helper()
	for o, err := range a.MemoryArchive.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

// TestACheckOfAChannelThatIsAllRight finds nothing, whatever is under way.
func TestACheckOfAChannelThatIsAllRight(t *testing.T) {
	s := newShelf(t)
	c, err := s.a.Check(t.Context(), channel, nil)
	if err != nil {
		t.Fatal(err)
	}
	bytes := c.Bytes
	c.Bytes = 0
	want := &sdsaws.Checked{ChannelID: channel, Found: true, Live: 2, Evicted: 4, Archived: 18, Segments: 2, Values: 3, Hints: 1}
	if !reflect.DeepEqual(c, want) || bytes < 3*32<<10 {
		t.Errorf("%+v, want %+v", c, want)
	}
	if c, err = s.a.Check(t.Context(), "another", nil); err != nil || c.Found {
		t.Errorf("a channel that isn't there: %+v, %v", c, err)
	}
}

// TestARepairGoesOnAndTidiesUp: what is unfinished and what is garbage is found, and after a
// repair there is nothing to be found.
func TestARepairGoesOnAndTidiesUp(t *testing.T) {
	broken := func(op string) func(t *testing.T, s *shelf) {
		return func(t *testing.T, s *shelf) {
			u := appends("newer")
			u.Evict = []string{"new", "large"}
			if err := s.a.Commit(t.Context(), channel, bigMeta(100), u); err != nil {
				t.Fatal(err)
			}
			s.setFault(at(op, refuse))
			if _, err := s.a.Sweep(t.Context(), channel, nil); !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
		}
	}
	dropped := func(op string) func(t *testing.T, s *shelf) {
		return func(t *testing.T, s *shelf) {
			s.setFault(at(op, refuse))
			if err := s.a.DropChannel(t.Context(), channel); !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		damage  func(t *testing.T, s *shelf)
		verdict sdsaws.Verdict
		item    string
	}{
		"a segment is not put":             {broken("put"), sdsaws.Unfinished, "manifest of the segment from offset"},
		"a manifest is not marked":         {broken("replace segment"), sdsaws.Unfinished, "manifest of the segment from offset"},
		"archived messages are in the log": {broken("delete"), sdsaws.Unfinished, "manifest of the segment from offset"},
		"values of archived messages":      {broken("remove"), sdsaws.Unfinished, "manifest of the segment from offset"},
		"a drop has left all":              {dropped("page"), sdsaws.Unfinished, "drop"},
		"a drop has left the messages":     {dropped("delete"), sdsaws.Unfinished, "drop"},
		"a drop has left the manifests":    {dropped("delete segments"), sdsaws.Unfinished, "drop"},
		"a drop has left the segments":     {dropped("remove"), sdsaws.Unfinished, "drop"},
		"a value that nothing refers to": {func(t *testing.T, s *shelf) {
			s.put(t, record.Values, strings.Repeat("0", 32)+"-"+strings.Repeat("1", 32)+"-0")
		}, sdsaws.Garbage, "value 000"},
		"an archived message": {func(t *testing.T, s *shelf) {
			s.again(t, "new", 3)
		}, sdsaws.Garbage, "messages at offsets 0 to"},
		"staged messages of a commit that can't be": {func(t *testing.T, s *shelf) {
			s.setFault(at("commit", refuse))
			if err := s.a.Commit(t.Context(), channel, meta(200), appends(names(1000, 150)...)); !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
			loads(t, s.memory, 100, "large", "new") // claims
		}, sdsaws.Garbage, "staged messages"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			c.damage(t, s)
			s.setFault(at("", none))
			b := open(t, s.memory, sdsaws.Options{})
			for _, repair := range []bool{false, true} {
				got, err := b.Check(t.Context(), channel, &sdsaws.CheckOptions{Repair: repair})
				if err != nil {
					t.Fatal(err)
				}
				found := func(f sdsaws.Finding) bool { return f.Verdict == c.verdict && strings.HasPrefix(f.Item, c.item) }
				if !slices.ContainsFunc(got.Findings, found) || got.Has(sdsaws.Broken) || got.Has(c.verdict) == repair {
					t.Fatalf("repair %v: want %v %q in %+v", repair, c.verdict, c.item, got.Findings)
				}
			}
			got, err := b.Check(t.Context(), channel, nil)
			if err != nil || len(got.Findings) > 0 {
				t.Fatalf("after a repair: %+v, %v", got, err)
			}
		})
	}
}

// TestARepairLeavesWhatACommitMayNeed: staged messages and values of a commit that is under way
// are no garbage, whatever time has passed, and it lands after a repair.
func TestARepairLeavesWhatACommitMayNeed(t *testing.T) {
	s := newShelf(t)
	reached, goOn := make(chan bool), make(chan bool)
	s.wait = func() { close(reached); <-goOn }
	s.setFault(at("commit", hold))
	u := appends(names(1000, 150)...)
	u.Append[0].Content = noise()
	done := make(chan error)
	go func() { done <- s.a.Commit(t.Context(), channel, meta(200), u) }()
	<-reached
	s.setFault(at("", none))
	got, err := open(t, s.memory, sdsaws.Options{}).Check(t.Context(), channel, &sdsaws.CheckOptions{Repair: true})
	if err != nil || len(got.Findings) > 0 || got.Pending < 100 {
		t.Errorf("%+v, %v", got, err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	loads(t, s.memory, 200, append(names(1000, 150), "large", "new")...)
}

// TestACheckOfANamespaceFindsWhatHasNoHead: in the log and in the archive.
func TestACheckOfANamespaceFindsWhatHasNoHead(t *testing.T) {
	s := newShelf(t)
	if err := s.a.Commit(t.Context(), "all right", meta(1), appends("x")); err != nil {
		t.Fatal(err)
	}
	other := store.Key{Namespace: "alice", Channel: "in the log\x00"}
	if err := s.Memory.Commit(t.Context(), other, store.CommitID{}, s.head(t), []store.Message{{ID: "x", Body: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	s.RemoveHead(other)
	for _, id := range []string{"in the archive/", strings.Repeat("long", 100)} {
		name := record.Folder(record.Values, store.Key{Namespace: "alice", Channel: id}) + "a-b-c"
		if _, err := s.archive.MemoryArchive.Put(t.Context(), name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for heads, want := range map[bool]string{
		false: `["" broken "all right" "chat" "in the archive/" broken "in the log\x00" broken]`,
		true:  `["" broken "all right" "chat" "in the archive/" broken]`,
	} {
		var got []string
		for c, err := range s.a.CheckAll(t.Context(), &sdsaws.CheckOptions{HeadsOnly: heads}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%q", c.ChannelID))
			for _, f := range c.Findings {
				got[len(got)-1] += " " + f.Verdict.String()
			}
		}
		slices.Sort(got)
		if text := fmt.Sprint(got); text != want {
			t.Errorf("heads only %v: %s, want %s", heads, text, want)
		}
	}
}

// TestASweepOfABrokenChannelLeavesItsValues: what refers to one may be missing, and restored.
func TestASweepOfABrokenChannelLeavesItsValues(t *testing.T) {
	for _, id := range []string{"large", "parked"} {
		t.Run(id, func(t *testing.T) {
			s := newShelf(t)
			if id == "parked" {
				buffers := meta(50)
				buffers.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{MessageID: id, Content: noise()}}}
				if err := s.a.SaveChannelMeta(t.Context(), channel, buffers); err != nil {
					t.Fatal(err)
				}
				if err := s.a.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			value := s.value(t, id)
			s.alter(t, id, nil)
			if _, err := s.a.Sweep(t.Context(), channel, nil); !errors.Is(err, sds.ErrIncomplete) {
				t.Errorf("%v, want ErrIncomplete", err)
			}
			if after := s.archive.names(t); !slices.Contains(after, value) {
				t.Errorf("left %q without %q", after, value)
			}
		})
	}
}

// TestAFindingNamesWhatIsMissing, also where something else can't be read because of it.
func TestAFindingNamesWhatIsMissing(t *testing.T) {
	m := newMemory()
	a := openAs(t, m, "alice", quiet)
	s := meta(1)
	s.IncomingBuffer = []sds.IncomingMessage{{Message: sds.Message{MessageID: "in", Content: []byte("parked")}}}
	if err := a.Commit(t.Context(), channel, s, appends("one")); err != nil {
		t.Fatal(err)
	}
	m.Edit(key, func(_ *store.Head, all map[uint64]store.Message) { delete(all, 0) })
	c, err := a.Check(t.Context(), channel, nil)
	if err != nil {
		t.Fatal(err)
	}
	named := false
	for _, f := range c.Findings {
		named = named || f.Item == "snapshot" && strings.Contains(f.Err.Error(), "message at offset 0") && errors.Is(f.Err, sds.ErrIncomplete)
	}
	if !named {
		t.Errorf("%+v", c.Findings)
	}
}
