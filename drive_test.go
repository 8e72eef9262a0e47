package sdsaws_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/sdsaws/sdsaws"
)

// Tests that say in which order the requests of several actors are done: a process that is
// frozen in the middle of a call, and a request that arrives when nobody waits for it any more.

// quiet are the options of adapters that do nothing by themselves: no timer fires, and nothing
// is archived unless it is asked for.
var quiet = sdsaws.Options{InlineBytes: 300, ArchiveMessages: 1 << 30, Clock: stopped{}}

// only accepts requests of these operations.
func only(ops ...string) func(op string) bool {
	return func(op string) bool { return slices.Contains(ops, op) }
}

func every(string) bool { return true }

// writes accepts the requests that change something.
var writes = only("commit", "stage", "unstage", "claim", "delete", "add segment", "replace segment",
	"delete segments", "hints", "delete hints", "put", "remove")

// nth returns what setFault takes: the n-th request that which accepts, from now on, has the
// fault f, and is told to note.
func nth(n int, which func(op string) bool, f fault, note func(op string)) func(op string) fault {
	return func(op string) fault {
		if !which(op) {
			return none
		}
		if n--; n != 0 {
			return none
		}
		note(op)
		return f
	}
}

// upwards runs a test for n from 1 on, until it says that there is nothing for such an n, or fails.
func upwards(t *testing.T, what string, test func(t *testing.T, n int) (more bool)) {
	t.Helper()
	for n, more := 1, true; more && !t.Failed(); n++ {
		t.Run(fmt.Sprint(what, " ", n), func(t *testing.T) { more = test(t, n) })
	}
}

// frozen is a call that waits at one of its requests.
type frozen struct {
	op   string // of the request that is held; "": there were fewer, and the call has ended
	thaw func()
	done chan error
}

// freeze makes a call whose n-th request that which accepts is held, and returns when it is.
func (m *memory) freeze(t *testing.T, n int, which func(op string) bool, call func() error) *frozen {
	t.Helper()
	reached, resume := make(chan struct{}), make(chan struct{})
	f := &frozen{thaw: sync.OnceFunc(func() { close(resume) }), done: make(chan error, 1)}
	t.Cleanup(f.thaw)
	m.mu.Lock()
	m.wait = func() { close(reached); <-resume }
	m.fault = nth(n, which, hold, func(op string) { f.op = op })
	m.mu.Unlock()
	go func() { f.done <- call() }()
	select {
	case <-reached:
	case err := <-f.done:
		f.done <- err
		m.setFault(func(string) fault { return none })
	}
	return f
}

// goOn lets the call go on and returns what it returns.
func (f *frozen) goOn() error {
	f.thaw()
	return <-f.done
}

// delayed is a request whose sender was told that it has failed.
type delayed struct {
	op     string // "": there were fewer
	arrive func() error
}

// delay makes a call whose n-th request that which accepts fails, and is done later, when the
// test lets it arrive. It returns what the call returns.
func (m *memory) delay(n int, which func(op string) bool, call func() error) (*delayed, error) {
	d := &delayed{}
	m.mu.Lock()
	m.keep = func(request func() error) { d.arrive = request }
	m.fault = nth(n, which, late, func(op string) { d.op = op })
	m.mu.Unlock()
	err := call()
	m.setFault(func(string) fault { return none })
	return d, err
}

// copy returns a backend that holds the same.
func (m *memory) copy() *memory {
	c := newMemory()
	c.CopyFrom(&m.Memory)
	c.archive.CopyFrom(&m.archive.MemoryArchive)
	return c
}
