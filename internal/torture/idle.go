package torture

import (
	"bytes"
	"runtime"
)

// idleness knows how many goroutines there are when no adapter does anything in the background.
type idleness struct{ goroutines int }

// await returns when that is so, as the stacks of all goroutines show it: an adapter doesn't tell,
// and a run is only the same each time if each call finds the last one's work done. Held writes of
// [ordeal.Late] don't count.
func (i *idleness) await() {
	buf := make([]byte, 1<<16)
	for {
		n := runtime.NumGoroutine()
		if n == i.goroutines { // stacks cost more
			return
		}
		if !busy(stacks(&buf)) {
			i.goroutines = runtime.NumGoroutine()
			return
		}
		for j := 0; j < 100 && n == runtime.NumGoroutine(); j++ {
			runtime.Gosched()
		}
	}
}

func stacks(buf *[]byte) []byte {
	for {
		n := runtime.Stack(*buf, true)
		if n < len(*buf) {
			return (*buf)[:n]
		}
		*buf = make([]byte, 2*len(*buf))
	}
}

var (
	works  = []byte("sdsaws.(*channel).")
	starts = []byte("sync.(*WaitGroup).Go.func1(") // all of an adapter's goroutines begin there
	held   = []byte("storetest.(*Faulty).hold.func1(")
	waits  = []byte("github.com/sdsaws/sdsaws.(*Adapter).serve(")
)

func busy(all []byte) bool {
	for i, one := range bytes.Split(all, []byte("\n\n")) {
		// The first is who asks.
		if i == 0 || bytes.Contains(one, held) {
			continue
		}
		if bytes.Contains(one, works) || bytes.Contains(one, starts) && !lingers(one) {
			return true
		}
	}
	return false
}

// lingers reports whether a goroutine has ended its work and waits for more.
func lingers(one []byte) bool {
	state, _, _ := bytes.Cut(one, []byte("\n"))
	_, top, _ := bytes.Cut(one, []byte("\n"))
	return bytes.Contains(state, []byte("[select")) && bytes.HasPrefix(top, waits)
}
