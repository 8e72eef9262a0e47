package sdsaws

import "time"

// workerLinger is how long a goroutine that has done its work waits for more: one that is there
// has a stack as large as a request takes, and a new one would have to grow it.
const workerLinger = time.Second

// spawn runs f in a goroutine of the adapter's, which Close ends.
func (a *Adapter) spawn(f func()) {
	select {
	case a.idle <- f:
	default: // none waits for work
		a.runs.Go(func() { a.serve(f) })
	}
}

func (a *Adapter) serve(f func()) {
	t := time.NewTimer(workerLinger)
	defer t.Stop()
	for {
		f()
		t.Reset(workerLinger)
		select {
		case f = <-a.idle:
		case <-t.C:
			return
		case <-a.work.Done():
			return
		}
	}
}
