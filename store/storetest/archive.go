package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// TestArchive checks that a store.Archive keeps what its interface promises, as [TestLog]
// does.
func TestArchive(t *testing.T, open func(t *testing.T) store.Archive) {
	t.Helper()
	t.Run("Archive", func(t *testing.T) {
		for _, test := range archiveTests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(&archive{T: t, store: open(t), prefix: namespace() + "/", objects: map[string][]byte{}})
			})
		}
	})
}

type archiveTest struct {
	name string
	run  func(*archive)
}

// archive drives one prefix of the archive under test beside a model of what it holds.
type archive struct {
	*testing.T
	store   store.Archive
	prefix  string
	objects map[string][]byte
}

func (a *archive) put(name string, body []byte) store.Object {
	a.Helper()
	o, err := a.store.Put(a.Context(), a.prefix+name, body)
	if err != nil {
		a.Fatalf("Put %.40q: %v", name, err)
	}
	if o.Name != a.prefix+name || o.Size != int64(len(body)) {
		a.Errorf("Put of %d bytes under %.40q returned %.80q with %d bytes", len(body), a.prefix+name, o.Name, o.Size)
	}
	a.objects[name] = bytes.Clone(body)
	return o
}

// list returns what List yields, and checks that it is in order.
func (a *archive) list(prefix string) []store.Object {
	a.Helper()
	var all []store.Object
	for o, err := range a.store.List(a.Context(), a.prefix+prefix) {
		if err != nil {
			a.Fatalf("List: %v", err)
		}
		all = append(all, o)
	}
	if !slices.IsSortedFunc(all, func(x, y store.Object) int { return cmp.Compare(x.Name, y.Name) }) {
		a.Errorf("List is not in the order of names")
	}
	return all
}

// check compares all that the archive returns with the model.
func (a *archive) check() {
	a.Helper()
	listed := map[string]int64{}
	for _, o := range a.list("") {
		listed[strings.TrimPrefix(o.Name, a.prefix)] = o.Size
		got, err := a.store.Get(a.Context(), o)
		if want := a.objects[strings.TrimPrefix(o.Name, a.prefix)]; err != nil || !bytes.Equal(got, want) {
			a.Errorf("Get of what List gave, %.40q: %d bytes instead of %d, %v", o.Name, len(got), len(want), err)
		}
	}
	for name, want := range a.objects {
		if n, ok := listed[name]; !ok || n != int64(len(want)) {
			a.Errorf("List has %.40q: %v, with %d bytes; want %d", name, ok, n, len(want))
		}
		got, err := a.store.Get(a.Context(), store.Object{Name: a.prefix + name})
		if err != nil || !bytes.Equal(got, want) {
			a.Errorf("Get %.40q: %d bytes instead of %d, %v", name, len(got), len(want), err)
		}
	}
	if len(listed) != len(a.objects) {
		a.Errorf("List has %d objects, want %d", len(listed), len(a.objects))
	}
}

var archiveTests = []archiveTest{
	{"PutGetDelete", func(a *archive) {
		a.check()
		o := a.put("one", []byte("1"))
		a.put("two", random(100))
		a.put("empty", nil)
		a.check()
		for range 2 { // what isn't there is no error
			if err := a.store.Delete(a.Context(), o); err != nil {
				a.Fatalf("Delete: %v", err)
			}
			delete(a.objects, "one")
			a.check()
		}
		if _, err := a.store.Get(a.Context(), o); !errors.Is(err, store.ErrNotFound) {
			a.Errorf("Get of a deleted version: %v, want ErrNotFound", err)
		}
		a.put("one", []byte("another"))
		a.check()
		if err := a.store.Delete(a.Context()); err != nil {
			a.Errorf("Delete of nothing: %v", err)
		}
	}},
	{"NotFound", func(a *archive) {
		a.put("ab", []byte("x"))
		for _, name := range []string{"a", "abc", "ab/c", "AB"} {
			_, err := a.store.Get(a.Context(), store.Object{Name: a.prefix + name})
			if !errors.Is(err, store.ErrNotFound) && name != "ab/c" {
				a.Errorf("Get %q: %v, want ErrNotFound", name, err)
			}
		}
	}},
	{"GetOfAnotherSize", func(a *archive) {
		o := a.put("x", random(1000))
		a.put("empty", nil)
		for _, size := range []int64{1, 999, 1001, math.MaxInt64} {
			other := o
			other.Size = size
			if b, err := a.store.Get(a.Context(), other); !errors.Is(err, store.ErrSize) || len(b) > 0 {
				a.Errorf("an object of 1000 bytes, asked for with %d: %d bytes, %v, want ErrSize", size, len(b), err)
			}
		}
		gone := store.Object{Name: a.prefix + "none", Size: 1000}
		if _, err := a.store.Get(a.Context(), gone); !errors.Is(err, store.ErrNotFound) {
			a.Errorf("Get of nothing with a size: %v, want ErrNotFound", err)
		}
		if _, err := a.store.Get(a.Context(), store.Object{Name: a.prefix + "empty", Size: 1}); !errors.Is(err, store.ErrSize) {
			a.Errorf("an empty object, asked for with 1 byte: %v, want ErrSize", err)
		}
		a.check()
	}},
	{"PutAgain", func(a *archive) {
		first := a.put("x", []byte("first"))
		again, err := a.store.Put(a.Context(), a.prefix+"x", []byte("first"))
		if err != nil || again != first {
			a.Errorf("the same again: %+v, %v; want %+v", again, err, first)
		}
		for _, other := range []string{"other", "first and more", ""} {
			there, err := a.store.Put(a.Context(), a.prefix+"x", []byte(other))
			if !errors.Is(err, store.ErrExists) {
				a.Errorf("other bytes: %v, want ErrExists", err)
			}
			if there != first {
				a.Errorf("other bytes: ErrExists comes with %+v, want %+v, which is there", there, first)
			}
		}
		a.check()
	}},
	{"OneWins", func(a *archive) {
		for round := range 5 {
			name := fmt.Sprint(round)
			bodies, errs := make([][]byte, writers), make([]error, writers)
			var group sync.WaitGroup
			for i := range writers {
				bodies[i] = random(1000)
				group.Go(func() { _, errs[i] = a.store.Put(a.Context(), a.prefix+name, bodies[i]) })
			}
			group.Wait()
			for i, err := range errs {
				if err == nil {
					if a.objects[name] != nil {
						a.Fatalf("two of %d puts at the same time succeeded", writers)
					}
					a.objects[name] = bodies[i]
				} else if !errors.Is(err, store.ErrExists) {
					a.Errorf("put at the same time: %v, want ErrExists", err)
				}
			}
			a.check()
		}
	}},
	{"ListPrefix", func(a *archive) {
		for _, name := range []string{"a/1", "a/2", "a/10", "ab/1", "a=b/c=d/x.parquet", "a.b", "a_b-C"} {
			a.put(name, []byte(name))
		}
		for prefix, want := range map[string][]string{
			"a/":     {"a/1", "a/10", "a/2"},
			"a/1":    {"a/1", "a/10"},
			"a":      {"a.b", "a/1", "a/10", "a/2", "a=b/c=d/x.parquet", "a_b-C", "ab/1"},
			"a=b/":   {"a=b/c=d/x.parquet"},
			"none/":  nil,
			"ab/1/":  nil,
			"a=b/c=": {"a=b/c=d/x.parquet"},
		} {
			var got []string
			for _, o := range a.list(prefix) {
				got = append(got, strings.TrimPrefix(o.Name, a.prefix))
			}
			if !slices.Equal(got, want) {
				a.Errorf("List %q: %q, want %q", prefix, got, want)
			}
		}
		n := 0
		for _, err := range a.store.List(a.Context(), a.prefix) {
			if err != nil {
				a.Fatalf("List: %v", err)
			}
			if n++; n == 2 { // the caller may stop
				break
			}
		}
	}},
	{"Large", func(a *archive) {
		a.put("large", random(9<<20))
		a.put(strings.Repeat("n", 240)+"/"+strings.Repeat("m", 250), []byte("x"))
		a.check()
	}},
	{"ManyVersions", func(a *archive) {
		var all []store.Object
		for i := range 30 {
			all = append(all, a.put(fmt.Sprintf("v/%03d", i), []byte{byte(i)}))
		}
		if err := a.store.Delete(a.Context(), all[3:]...); err != nil {
			a.Fatal(err)
		}
		for i := 3; i < 30; i++ {
			delete(a.objects, fmt.Sprintf("v/%03d", i))
		}
		a.check()
	}},
	{"Ownership", func(a *archive) {
		body := random(1000)
		a.put("x", body)
		scribble(body)
		got, err := a.store.Get(a.Context(), store.Object{Name: a.prefix + "x"})
		if err != nil {
			a.Fatal(err)
		}
		scribble(got)
		a.check()
	}},
	{"Cancelled", func(a *archive) {
		o := a.put("x", []byte("x"))
		ctx, cancel := context.WithCancel(a.Context())
		cancel()
		cancelled(a.T, "Put", func() error { _, err := a.store.Put(ctx, a.prefix+"y", nil); return err })
		cancelled(a.T, "Get", func() error { _, err := a.store.Get(ctx, o); return err })
		cancelled(a.T, "Delete", func() error { return a.store.Delete(ctx, o) })
		cancelled(a.T, "List", func() error {
			for _, err := range a.store.List(ctx, a.prefix) {
				return err
			}
			return nil
		})
		a.check()
	}},
}
