package torture

import (
	"bytes"
	"runtime"
)

// awaitIdle returns when no adapter does anything in the background any more, as the stacks
// of all goroutines show it: an adapter doesn't tell, and a run is only the same each time if each
// call finds the last one's work done. Held writes of [ordeal.Late] don't count.
func awaitIdle() {
	buf := make([]byte, 1<<16)
	for busy(stacks(&buf)) {
		runtime.Gosched()
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
)

func busy(all []byte) bool {
	for i, one := range bytes.Split(all, []byte("\n\n")) {
		// The first is who asks.
		if i > 0 && !bytes.Contains(one, held) && (bytes.Contains(one, works) || bytes.Contains(one, starts)) {
			return true
		}
	}
	return false
}
