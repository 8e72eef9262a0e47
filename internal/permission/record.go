package permission

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/smithy-go/middleware"
)

// Recorder keeps what the requests of clients need, in their order. Its zero value is ready.
type Recorder struct {
	mu       sync.Mutex // protects what follows
	accesses []Access
	unknown  []error
}

// Record is one of a client's APIOptions.
func (r *Recorder) Record(s *middleware.Stack) error {
	return watch(s, func(input any, err error) {
		needed, unknown := Accesses(input, err)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.accesses = append(r.accesses, needed...)
		if unknown != nil {
			r.unknown = append(r.unknown, unknown)
		}
	})
}

// Recorded returns what was recorded, or an error when there was a request that it doesn't
// know.
func (r *Recorder) Recorded() ([]Access, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.accesses), errors.Join(r.unknown...)
}

// Actions keeps which actions the requests of packages dynamo and s3archive need, and those of
// no others. Its zero value is ready.
type Actions struct {
	mu      sync.Mutex // protects what follows
	needed  map[string]bool
	unknown error
}

// Record is one of a client's APIOptions.
func (r *Actions) Record(s *middleware.Stack) error {
	return watch(s, func(input any, err error) {
		// Both packages put this into each of their calls.
		if _, ours := s.Initialize.Get("sdsaws:missing"); !ours {
			return
		}
		needed, unknown := Accesses(input, err)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.needed == nil {
			r.needed = map[string]bool{}
		}
		for _, a := range needed {
			r.needed[a.Action] = true
		}
		r.unknown = cmp.Or(r.unknown, unknown)
	})
}

// Lacking returns the actions that no role has, and how many were needed.
func (r *Actions) Lacking() (lacking []string, needed int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for action := range r.needed {
		if action != WithoutVersions && !granted(action) {
			lacking = append(lacking, action)
		}
	}
	slices.Sort(lacking)
	return lacking, len(r.needed), r.unknown
}

func granted(action string) bool {
	for _, grants := range Roles {
		if slices.ContainsFunc(grants, func(g Grant) bool { return g.Action == action }) {
			return true
		}
	}
	return false
}

func watch(s *middleware.Stack, on func(input any, err error)) error {
	return s.Initialize.Add(middleware.InitializeMiddlewareFunc(fmt.Sprintf("permission:%d", len(s.Initialize.List())), func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, meta, err := next.HandleInitialize(ctx, in)
		on(in.Parameters, err)
		return out, meta, err
	}), middleware.Before)
}

// Names are those of what is stored, which tell what an access is about.
type Names struct {
	State, Hints, Bucket, Prefix string
}

// Grant returns what allows an access.
func (n Names) Grant(a Access) (Grant, error) {
	g := Grant{Action: a.Action}
	name, of := strings.CutPrefix(a.Key, n.Prefix)
	switch {
	case a.Table == n.State && a.Table != "" && a.Index == "channels":
		g.On = Index
	case a.Table == n.State && a.Table != "" && a.Index == "":
		g.On = State
	case a.Table == n.Hints && a.Table != "" && a.Index == "":
		g.On = Hints
	case a.Bucket == n.Bucket && a.Bucket != "" && a.Key == "":
		g.On = Bucket
	case a.Bucket == n.Bucket && a.Bucket != "" && of &&
		(strings.HasPrefix(name, "segments/") || strings.HasPrefix(name, "values/")):
		g.On = Objects
	default:
		return g, fmt.Errorf("permission: %+v is about none of %+v", a, n)
	}
	return g, nil
}

// Grants returns what allows all accesses, sorted, each once.
func (n Names) Grants(all []Access) ([]Grant, error) {
	var grants []Grant
	for _, a := range all {
		g, err := n.Grant(a)
		if err != nil {
			return nil, err
		}
		grants = append(grants, g)
	}
	slices.SortFunc(grants, Compare)
	return slices.Compact(grants), nil
}
