package sdsaws

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestEntriesAreAMap holds entries against maps, with hashes that meet in few slots.
func TestEntriesAreAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		got, want, live := newEntries(), map[idHash]entry{}, map[idHash]idHash{}
		hash := rapid.Custom(func(t *rapid.T) idHash {
			return idHash{0: rapid.SampledFrom([]byte{0, 1, 7, 15, 255}).Draw(t, "home"), 11: rapid.Byte().Draw(t, "rest")}
		})
		put := func(t *rapid.T) {
			content, e := hash.Draw(t, "content"), entry{offset: rapid.Uint64().Draw(t, "offset"), id: hash.Draw(t, "id"),
				packed: rapid.Uint32Max(1<<30-1).Draw(t, "packed"), kept: rapid.Bool().Draw(t, "kept")}
			if _, ok := live[e.id]; !ok {
				e.live = rapid.Bool().Draw(t, "live")
			}
			if old := want[content]; old.live {
				delete(live, old.id)
			}
			got.put(content, e)
			want[content] = e
			if e.live {
				live[e.id] = content
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": put, "put again": put, "put more": put,
			"remove": func(t *rapid.T) {
				content := hash.Draw(t, "content")
				if e := want[content]; e.live {
					delete(live, e.id)
				}
				got.remove(content)
				delete(want, content)
			},
			"fill": func(t *rapid.T) {
				for range 40 {
					put(t)
				}
			},
			"empty": func(*rapid.T) {
				for content := range want {
					got.remove(content)
				}
				clear(want)
				clear(live)
			},
			"": func(t *rapid.T) {
				all := map[idHash]entry{}
				for _, r := range got.rows {
					all[r.content] = r.entry()
				}
				if !maps.Equal(all, want) || len(got.rows) != len(want) {
					t.Fatalf("%d rows of %d", len(got.rows), len(want))
				}
				for content, e := range want {
					if found, ok := got.find(content); !ok || found != e {
						t.Fatalf("%x isn't found", content)
					}
				}
				for id, content := range live {
					if found, ok := got.history(id); !ok || found != content {
						t.Fatalf("%x isn't found by its id", content)
					}
				}
				id := hash.Draw(t, "sought")
				_, must := live[id]
				if _, ok := got.history(id); ok != must {
					t.Fatalf("%x is found by its id: %v", id, ok)
				}
			},
		})
	})
}

// TestEntriesOfOneIDForAMoment: when a message replaces another one under its id, the new one can come
// first.
func TestEntriesOfOneIDForAMoment(t *testing.T) {
	got, id := newEntries(), idHash{1}
	got.put(idHash{2}, entry{id: id, live: true})
	got.put(idHash{3}, entry{id: id, live: true})
	got.put(idHash{2}, entry{id: id, kept: true})
	if content, ok := got.history(id); !ok || content != (idHash{3}) {
		t.Fatalf("%x, %v", content, ok)
	}
}
