// Package ordeal plays a scenario of every flow of an adapter on a backend, once for each
// request that it makes and each fault that the request can have, and judges what is left.
package ordeal

import (
	"context"

	"github.com/sdsaws/sdsaws"
)

// Fault is what happens to a request. Sites have more of them than are named here.
type Fault string

// The faults that every site has.
const (
	None   Fault = ""
	Refuse Fault = "refused" // it is not done, and the caller gets an error
	Lose   Fault = "lost"    // it is done, and the caller gets an error that says nothing of it

	// Late: the caller gets an error that says nothing of it, and the request is done when
	// the site's Release is called: the delayed request of a process that was replaced.
	Late Fault = "late"
)

// Decide says what happens to a request of an operation. It is called once for a request,
// however often that is tried again, before anything is done, by any number of goroutines.
type Decide func(op string) Fault

// Site is a backend with faults.
type Site interface {
	// Backend returns the backend of a process. Nil is no faults.
	Backend(d Decide) sdsaws.Backend

	// Faults returns the faults that a request of an operation can have; Refuse and Lose
	// are among them, and for writes Late.
	Faults(op string) []Fault

	// Release does what was held back as Late, and returns when it is done.
	Release()

	// Stored counts what is stored of a namespace, by kind ("head", "message", "segment",
	// "hint", "object"), looked at directly and not through what is tested.
	Stored(ctx context.Context, namespace string) (map[string]int, error)
}

// Group is faults that do the same to a request and tell it to the caller in different ways.
// Each is played at one of an operation's requests at least, and at each request one of them.
type Group struct {
	Faults []Fault

	// Leaves says that a process that is killed there leaves what those killed at other groups
	// don't.
	Leaves bool

	// Passes says that the client gets over it by itself: no operation may fail.
	Passes bool
}

// Grouper is a Site with groups. In others each fault is a group that leaves something.
type Grouper interface {
	Groups(op string) []Group
}

func groups(s Site, op string) (all []Group) {
	if g, ok := s.(Grouper); ok {
		return g.Groups(op)
	}
	for _, f := range s.Faults(op) {
		all = append(all, Group{Faults: []Fault{f}, Leaves: true})
	}
	return all
}

// at returns what of the groups is played at the n-th of an operation's requests, from 0.
func at(all []Group, n, of int) (chosen []Group) {
	for _, g := range all {
		c := Group{Leaves: g.Leaves, Passes: g.Passes}
		for i := n % len(g.Faults); i < len(g.Faults); i += of {
			c.Faults = append(c.Faults, g.Faults[i])
		}
		chosen = append(chosen, c)
	}
	return chosen
}
