package ordeal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

// Faults of a site that is made with [NewSite].
const (
	Part     Fault = "part"     // of a batch a part is done, and the caller gets an error
	Twice    Fault = "twice"    // it is done, and again: the caller gets the second's outcome
	Conflict Fault = "conflict" // its condition fails although nothing stands against it
)

var (
	conditional = []string{"Commit", "Claim", "Stage", "AddSegment"}
	batches     = []string{"Delete", "DeleteSegments", "Unstage", "SetHints", "DeleteHints", "Archive.Delete",
		"Archive.List", "Channels", "Stored"}
	writes = append([]string{"ReplaceSegment", "Unstage", "Archive.Put", "Delete", "DeleteSegments",
		"SetHints", "DeleteHints", "Archive.Delete"}, conditional...)
)

var errInjected = errors.New("injected")

type site struct {
	backend sdsaws.Backend
	stored  func(ctx context.Context, namespace string) (map[string]int, error)

	mu      sync.Mutex // protects what follows
	release chan struct{}
	held    []*storetest.Faulty
}

// NewSite returns a site over a backend, with faults between the adapter and it. Its stored
// is the site's Stored.
func NewSite(b sdsaws.Backend, stored func(ctx context.Context, namespace string) (map[string]int, error)) Site {
	return &site{backend: b, stored: stored, release: make(chan struct{})}
}

// Memory returns a site over a new backend in memory, with DynamoDB's limits.
func Memory() Site {
	m := &storetest.Memory{Max: DynamoLimits}
	a := &storetest.MemoryArchive{}
	return NewSite(sdsaws.Backend{Log: m, Hints: m, Archive: a},
		func(ctx context.Context, namespace string) (map[string]int, error) {
			n := map[string]int{}
			n["head"], n["message"], n["segment"], n["hint"] = m.Count(namespace)
			var err error
			n["object"], err = Objects(ctx, a, namespace)
			return n, err
		})
}

// DynamoLimits are those of a channel on DynamoDB.
var DynamoLimits = store.Limits{Messages: 99, HeadBytes: 400 << 10, MessageBytes: 400 << 10, CommitBytes: 4 << 20}

// Objects counts the objects of a namespace in an archive.
func Objects(ctx context.Context, a store.Archive, namespace string) (n int, err error) {
	for _, kind := range []record.Kind{record.Segments, record.Values} {
		folder, _, _ := strings.Cut(record.Folder(kind, store.Key{Namespace: namespace}), "channel=")
		for _, err := range a.List(ctx, folder) {
			if err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

func (s *site) Backend(d Decide) sdsaws.Backend {
	if d == nil {
		return s.backend
	}
	f := &storetest.Faulty{}
	hook := func(op string, _ int) storetest.Fault { return s.fault(f, op, d(op)) }
	f.Hook, f.ReadHook = hook, hook
	return sdsaws.Backend{Log: f.Log(s.backend.Log), Hints: f.Hints(s.backend.Hints), Archive: f.Archive(s.backend.Archive)}
}

func (s *site) fault(f *storetest.Faulty, op string, fault Fault) storetest.Fault {
	err := fmt.Errorf("%w: %s %s", errInjected, op, fault)
	switch fault {
	case None:
		return storetest.Fault{}
	case Refuse:
		return storetest.Fault{Refuse: err}
	case Lose:
		return storetest.Fault{Lose: err}
	case Part:
		return storetest.Fault{Part: err}
	case Twice:
		return storetest.Fault{Twice: true}
	case Conflict:
		return storetest.Fault{Conflict: true}
	case Late:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.held = append(s.held, f)
		return storetest.Fault{Hold: s.release, Late: err}
	default:
		panic("no fault of this site: " + string(fault))
	}
}

func (s *site) Faults(op string) []Fault {
	all := []Fault{Refuse, Lose}
	if slices.Contains(batches, op) {
		all = append(all, Part)
	}
	if slices.Contains(conditional, op) {
		all = append(all, Conflict)
	}
	if slices.Contains(writes, op) {
		all = append(all, Twice, Late)
	}
	return all
}

func (s *site) Release() {
	s.mu.Lock()
	held := s.held
	close(s.release)
	s.held, s.release = nil, make(chan struct{})
	s.mu.Unlock()
	for _, f := range held {
		f.Wait()
	}
}

func (s *site) Stored(ctx context.Context, namespace string) (map[string]int, error) {
	return s.stored(ctx, namespace)
}
