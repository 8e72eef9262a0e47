package torture_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/drawn"
	"github.com/sdsaws/sdsaws/internal/ordeal"
	"github.com/sdsaws/sdsaws/internal/torture"
	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

func TestMain(m *testing.M) { drawn.Main(m) }

// checks makes rapid play so many runs unless -rapid.checks says otherwise.
func checks(t *testing.T, n int) {
	t.Helper()
	if drawn.Given("rapid.checks") {
		return
	}
	if raceDetector {
		n /= 10
	}
	before := flag.Lookup("rapid.checks").Value.String()
	_ = flag.Lookup("rapid.checks").Value.Set(strconv.Itoa(n))
	t.Cleanup(func() { _ = flag.Lookup("rapid.checks").Value.Set(before) })
}

// run plays runs and prints what they have done.
func run(t *testing.T, open func(now func() time.Time) (ordeal.Site, func(), error)) {
	t.Helper()
	counts := &torture.Counts{}
	rapid.Check(t, func(r *rapid.T) {
		var end func()
		defer func() {
			if end != nil {
				end()
			}
		}()
		err := torture.Play(r, torture.Options{Counts: counts,
			Open: func(now func() time.Time) (s ordeal.Site, namespace string, err error) {
				s, end, err = open(now)
				return s, "alice", err
			}})
		report(r, err)
	})
	t.Log(counts)
}

func report(r *rapid.T, err error) {
	var v *torture.Violation
	if errors.As(err, &v) {
		for _, s := range v.Trail {
			r.Log(s)
		}
		r.Log(v.Detail)
		r.Fatal(v.What)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// limited is a log with limits, so that commits are staged.
type limited struct {
	store.Log
	messages int
}

func (l limited) Limits(store.Key) store.Limits {
	limits := ordeal.DynamoLimits
	limits.Messages = l.messages
	return limits
}

// openMemory returns a site in memory. guard may weaken its log.
func openMemory(now func() time.Time, guard func(store.Log) store.Log) (ordeal.Site, func(), error) {
	m := &storetest.Memory{Now: now}
	return ordeal.NewSite(sdsaws.Backend{Log: guard(limited{m, 6}), Hints: m, Archive: &storetest.MemoryArchive{}}, nil), func() {}, nil
}

func sound(l store.Log) store.Log { return l }

// TestMemory plays on a backend in memory.
func TestMemory(t *testing.T) {
	checks(t, 1000)
	run(t, func(now func() time.Time) (ordeal.Site, func(), error) { return openMemory(now, sound) })
}

// TestEmbedded plays on SQLite and a directory.
func TestEmbedded(t *testing.T) {
	checks(t, 100)
	dir, n := t.TempDir(), 0
	run(t, func(now func() time.Time) (ordeal.Site, func(), error) {
		n++
		return openEmbedded(filepath.Join(dir, strconv.Itoa(n)), now)
	})
}

func openEmbedded(dir string, now func() time.Time) (ordeal.Site, func(), error) {
	s, err := embedded.Open(dir, &embedded.Options{Now: now})
	if err != nil {
		return nil, nil, err
	}
	end := func() {
		_ = s.Close()
		_ = os.RemoveAll(dir)
	}
	return ordeal.NewSite(sdsaws.Backend{Log: limited{s, 6}, Hints: s, Archive: s.Archive()}, nil), end, nil
}
