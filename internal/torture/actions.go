package torture

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

func (w *world) any(t *rapid.T) *process {
	return w.processes[rapid.IntRange(0, len(w.processes)-1).Draw(t, "process")]
}

// draw chooses a process and a channel of its namespace.
func (w *world) draw(t *rapid.T) (*process, *channel, *view) {
	p := w.any(t)
	id := rapid.SampledFrom(channelIDs).Draw(t, "channel")
	for c, v := range p.views {
		if c.id == id {
			return p, c, v
		}
	}
	panic("no such channel")
}

func (c *channel) anyKnown(t *rapid.T) sds.Message {
	return c.known[len(c.known)-1-rapid.IntRange(0, len(c.known)-1).Draw(t, "known")]
}

// message draws a message that was there, or another, perhaps under an id that was there.
func (w *world) message(t *rapid.T, c *channel, fresh bool) sds.Message {
	w.made++
	m := sds.Message{MessageID: fmt.Sprint("m", w.made), LamportTimestamp: int64(w.made / 3), ChannelID: c.id}
	if !fresh && len(c.known) > 0 {
		old := c.anyKnown(t)
		switch rapid.IntRange(0, 3).Draw(t, "again") {
		case 0:
			return old
		case 1:
			m.MessageID = old.MessageID
		}
	}
	m.SenderID = rapid.SampledFrom([]string{"", "a"}).Draw(t, "sender")
	m.Content = make([]byte, rapid.SampledFrom([]int{0, 3, 60, 700}).Draw(t, "size"))
	x := uint32(w.made) //nolint:gosec // a counter
	for i := range m.Content {
		x = x*1664525 + 1013904223
		m.Content[i] = byte(x >> 24)
	}
	c.known = append(c.known, m)
	return m
}

// snapshot draws one that there was not before.
func (w *world) snapshot(t *rapid.T, c *channel) *sds.ChannelMeta {
	w.made++
	m := &sds.ChannelMeta{SchemaVersion: sds.SchemaVersion, LamportTimestamp: int64(w.made)}
	for range rapid.IntRange(0, 2).Draw(t, "buffered") {
		b := w.message(t, c, false)
		if rapid.Bool().Draw(t, "outgoing") {
			m.OutgoingBuffer = append(m.OutgoingBuffer, sds.OutgoingMessage{Message: b})
		} else {
			m.IncomingBuffer = append(m.IncomingBuffer, sds.IncomingMessage{Message: b})
		}
	}
	return m
}

// drawUpdate draws one. It appends a message that it doesn't evict, so that a load tells it from none.
func (w *world) drawUpdate(t *rapid.T, c *channel, s *state) *sds.HistoryUpdate {
	u := &sds.HistoryUpdate{}
	n := rapid.IntRange(0, 4).Draw(t, "appends")
	if even(t, "burst")+even(t, "burst") == 14 {
		n = rapid.IntRange(7, 120).Draw(t, "burst of")
	}
	for range n {
		u.Append = append(u.Append, w.message(t, c, n > 6))
	}
	ids := slices.Sorted(maps.Keys(s.live))
	for _, m := range u.Append {
		ids = append(ids, m.MessageID)
	}
	for range rapid.IntRange(0, min(len(ids), n+3)).Draw(t, "evicts") {
		u.Evict = append(u.Evict, rapid.SampledFrom(ids).Draw(t, "evicted"))
	}
	u.Append = append(u.Append, w.message(t, c, true))
	return u
}

// latest is the state that a process would change.
func (c *channel) latest(v *view) *state {
	if v.chain != nil {
		return v.end()
	}
	return c.possible[len(c.possible)-1]
}

func describe(c change) string {
	text := ""
	if c.meta != nil {
		text = fmt.Sprintf("clock %d, %d buffered; ", c.meta.LamportTimestamp, len(c.meta.IncomingBuffer)+len(c.meta.OutgoingBuffer))
	}
	if c.update != nil {
		var ids []string
		for _, m := range c.update.Append {
			ids = append(ids, fmt.Sprintf("%s:%d", m.MessageID, len(m.Content)))
		}
		text += fmt.Sprintf("+%.100q -%.100q", ids, c.update.Evict)
	}
	return text
}

func (w *world) commit(t *rapid.T) {
	p, c, v := w.draw(t)
	ch := change{w.snapshot(t, c), w.drawUpdate(t, c, c.latest(v))}
	w.faulty(t, p)
	w.say("%s commits to %s: %s", p, c, describe(ch))
	err := p.a.Commit(w.ctx, c.id, ch.meta, ch.update)
	w.wrote(t, p, c, ch, true, err)
}

func (w *world) pair(t *rapid.T) {
	p, c, v := w.draw(t)
	ch := change{w.snapshot(t, c), w.drawUpdate(t, c, c.latest(v))}
	w.faulty(t, p)
	w.say("%s saves and updates %s: %s", p, c, describe(ch))
	if err := p.a.SaveChannelMeta(w.ctx, c.id, ch.meta); err != nil {
		w.wrote(t, p, c, change{meta: ch.meta}, false, err)
		return
	}
	if !v.blind() && even(t, "between") > 5 { // only time cuts a pair
		w.accept(c, v, change{meta: ch.meta})
		w.say("   time passes")
		w.moves++
		w.clock.pass(rapid.SampledFrom([]time.Duration{time.Millisecond, 2 * time.Second}).Draw(t, "passes"))
		w.settle()
	}
	err := p.a.UpdateHistory(w.ctx, c.id, ch.update)
	w.wrote(t, p, c, ch, !p.accepted, err)
}

func (w *world) save(t *rapid.T) {
	p, c, v := w.draw(t)
	if v.blind() {
		t.Skip()
	}
	ch := change{meta: w.snapshot(t, c)}
	w.faulty(t, p)
	w.say("%s saves %s: %s", p, c, describe(ch))
	w.wrote(t, p, c, ch, false, p.a.SaveChannelMeta(w.ctx, c.id, ch.meta))
}

func (w *world) update(t *rapid.T) {
	p, c, v := w.draw(t)
	ch := change{update: w.drawUpdate(t, c, c.latest(v))}
	w.faulty(t, p)
	w.say("%s updates %s: %s", p, c, describe(ch))
	w.wrote(t, p, c, ch, !p.accepted, p.a.UpdateHistory(w.ctx, c.id, ch.update))
}

// wrote notes what came of a call that changes a channel. durable says that it is stored when
// err is nil.
func (w *world) wrote(t *rapid.T, p *process, c *channel, ch change, durable bool, err error) {
	v := p.views[c]
	before := *v
	w.settle()
	w.say("   %v", err)
	c.touched = true
	switch {
	case before.fenced:
		if !errors.Is(err, sds.ErrFenced) {
			w.violate("a fenced process writes", "%s, %s: %v", p, c, err)
		}
	case before.uncertain:
		if !errors.Is(err, sds.ErrUnknownOutcome) {
			w.violate("a process that doesn't know whether it holds a channel writes", "%s, %s: %v", p, c, err)
		}
	case before.blind():
		w.wroteBlindly(t, p, c, ch, durable, err)
	case v.fenced:
		if !errors.Is(err, sds.ErrFenced) && durable {
			w.violate("a process is fenced and its call has no such error", "%s, %s: %v", p, c, err)
		}
	case errors.Is(err, sds.ErrFenced):
		w.violate("a call is fenced and the process isn't told", "%s, %s: %v", p, c, err)
	default:
		w.explained(err, "a write", p, c)
		w.accept(c, v, ch)
		if err == nil && durable {
			w.stored(p, c, v)
		}
	}
}

// accept notes a change that the holder of a channel, as far as it knows, has accepted.
func (w *world) accept(c *channel, v *view, ch change) {
	if v.chain == nil {
		return // it was fenced meanwhile
	}
	v.chain = append(v.chain, v.end().with(ch))
	if !v.mustBeFenced {
		c.add(v.end())
	}
}

// stored notes that all that a process has accepted is stored: it has made a request that only
// the holder's can be done.
func (w *world) stored(p *process, c *channel, v *view) {
	if v.mustBeFenced {
		w.violate("a process that was replaced has written", "%s, %s", p, c)
		return
	}
	c.possible = []*state{v.end()}
	*v = view{chain: []*state{v.end()}}
}

// claimed notes that a process has claimed a channel for sure, or perhaps, while the possible
// states were stored.
func (w *world) claimed(by *process, c *channel, sure bool) {
	w.o.Counts.Claims.Add(1)
	for _, p := range w.processes {
		if v := p.views[c]; p != by && v != nil && v.chain != nil {
			v.mayBeFenced = true
			v.mustBeFenced = v.mustBeFenced || sure
			if slices.ContainsFunc(c.possible, v.end().equal) {
				v.chain = v.chain[len(v.chain)-1:] // perhaps all that it had accepted was stored by then
			}
		}
	}
}

// wroteBlindly is wrote for a process that had to load first.
func (w *world) wroteBlindly(t *rapid.T, p *process, c *channel, ch change, durable bool, err error) {
	var after []*state
	for _, s := range c.possible {
		after = append(after, s.with(ch))
	}
	if err == nil && durable {
		w.claimed(p, c, true)
		c.possible = after
	} else {
		if durable {
			w.explained(err, "a first write", p, c)
		}
		w.claimed(p, c, false)
		for _, s := range after {
			c.add(s)
		}
	}
	w.recover(t, p, c)
}

// recover lets a process that doesn't know what it holds load the channel, or crash.
func (w *world) recover(t *rapid.T, p *process, c *channel) {
	if w.err != nil {
		return
	}
	if even(t, "then crash") == 7 {
		w.restart(t, p)
		return
	}
	w.sound()
	w.loadBy(p, c)
}

func (w *world) load(t *rapid.T) {
	p, c, _ := w.draw(t)
	w.faulty(t, p)
	w.loadBy(p, c)
}

func (w *world) loadBy(p *process, c *channel) {
	v := p.views[c]
	d, err := p.a.LoadEncodedChannel(w.ctx, c.id)
	w.settle()
	w.say("%s loads %s: %s, %v", p, c, loaded(d), err)
	c.touched = true
	if err != nil {
		w.explained(err, "a load", p, c)
		var known *sds.ChannelError
		if errors.As(err, &known) && known.Op == "load" && known.Item == "claim" {
			w.claimed(p, c, false)
			if v.chain != nil {
				*v = view{uncertain: true}
			}
		}
		return
	}
	want := c.possible
	if v.chain != nil && !v.mayBeFenced && !v.mustBeFenced {
		want = []*state{v.end()}
	}
	same := slices.DeleteFunc(slices.Clone(want), func(s *state) bool { return !s.loadsAs(d) })
	if len(same) == 0 {
		w.violate("a load gives what is not the result of accepted operations", "%s, %s: %s, want one of %q",
			p, c, loaded(d), want)
		return
	}
	c.possible = same
	clear(p.wrote) // it remembers nothing of what it wrote before
	w.claimed(p, c, true)
	if len(same) > 1 { // they differ in what was evicted
		w.sound()
		c.possible = w.reads(p, c, sdsaws.AllHistory)[:1]
	}
	*v = view{chain: []*state{c.possible[0]}}
}

func (w *world) drop(t *rapid.T) {
	p, c, v := w.draw(t)
	if even(t, "really") > 2 {
		t.Skip()
	}
	w.faulty(t, p)
	before := *v
	w.moves++
	err := p.a.DropChannel(w.ctx, c.id)
	w.settle()
	w.say("%s drops %s: %v", p, c, err)
	switch {
	case before.fenced || before.uncertain:
		if err == nil {
			w.violate("a process that doesn't hold a channel drops it", "%s, %s", p, c)
		}
	case err == nil:
		if before.blind() {
			w.claimed(p, c, c.touched)
		}
		w.dropped(p, c, v)
		if before.blind() {
			w.recover(t, p, c)
		}
	case v.fenced:
		w.forgetHints(c, false)
	default:
		w.explained(err, "a drop", p, c)
		c.add(empty)
		v.mayBeFenced = true // by itself: any state can be what it finds
		w.forgetHints(c, false)
		w.claimed(p, c, false)
		w.recover(t, p, c)
	}
}

func (w *world) dropped(p *process, c *channel, v *view) {
	if v.mustBeFenced {
		w.violate("a process that was replaced drops the channel", "%s, %s", p, c)
		return
	}
	w.forgetHints(c, true)
	c.possible = []*state{empty}
	if v.chain != nil {
		*v = view{chain: []*state{empty}}
	}
}

// forgetHints notes that a drop has deleted the hints of a channel's messages, or may do so
// whenever it is gone on with.
func (w *world) forgetHints(c *channel, done bool) {
	h := w.hints[c.namespace]
	gone := map[string]bool{}
	if done && len(c.possible) == 1 {
		for m := range c.possible[0].history() {
			gone[inspect(m).MessageID] = true
		}
	}
	for _, m := range c.known {
		switch id := m.MessageID; {
		case gone[id]:
			h.set(id, w.waitingFor(c.namespace, id, "")...)
		case h.values[id] != nil:
			h.add(id, "")
		}
		if !done {
			h.unsure[m.MessageID] = true
		}
	}
}

// waitingFor adds the hints of a message that processes may yet write.
func (w *world) waitingFor(namespace, id string, all ...string) []string {
	for _, p := range w.processes {
		if value, ok := p.waiting[id]; ok && p.namespace == namespace {
			all = append(all, value.value)
		}
	}
	return all
}

func (w *world) hint(t *rapid.T) {
	p, c, _ := w.draw(t)
	if len(c.known) == 0 {
		t.Skip()
	}
	for range rapid.SampledFrom([]int{1, 2, 26}).Draw(t, "hints") {
		id := c.anyKnown(t).MessageID
		value := rapid.SampledFrom([]string{"here", "there", "anywhere"}).Draw(t, "hint")
		h := w.hints[c.namespace]
		if h.values[id] == nil {
			h.set(id, "")
		}
		h.add(id, value)
		now := w.clock.Now()
		p.waiting[id] = waiting{value, w.moves, now}
		if at := c.namespace + id; w.hintAt[at].IsZero() {
			w.hintAt[at] = now
		}
		if err := p.a.SetRetrievalHint(w.ctx, id, []byte(value)); err != nil {
			w.violate("a hint is not accepted", "%s, %s: %v", p, c, err)
		}
		w.say("%s sets the hint of %s to %q", p, id, value)
	}
}

func (w *world) flush(t *rapid.T) {
	p := w.any(t)
	w.outage(t, p)
	err := p.a.Flush(w.ctx)
	w.settle()
	w.say("%s flushes: %v", p, err)
	w.flushed(p, err, "a flush")
}

// flushed notes what a flush has stored.
func (w *world) flushed(p *process, err error, what string) {
	lost := false
	for _, v := range p.views {
		lost = lost || v.fenced || v.uncertain
	}
	if err != nil {
		if !lost {
			w.explained(err, what, p, nil)
		}
		return
	}
	for c, v := range p.views {
		if v.fenced || v.uncertain {
			w.violate("a flush of a lost channel succeeds", "%s, %s", p, c)
		} else if len(v.chain) > 1 {
			w.stored(p, c, v)
		}
	}
	for id, value := range p.waiting {
		delete(p.waiting, id)
		if value.at == w.moves && p.wrote[id] != value.value {
			w.hints[p.namespace].set(id, w.waitingFor(p.namespace, id, value.value)...)
			w.hintAt[p.namespace+id] = value.since
		}
		// Else a timer may have written it, and another process another; and what this one
		// remembers to have written it doesn't write again.
		p.wrote[id] = value.value
	}
}

func (w *world) archive(t *rapid.T) {
	p, c, v := w.draw(t)
	w.faulty(t, p)
	before := *v
	_, err := p.a.Archive(w.ctx, c.id)
	w.settle()
	w.say("%s archives %s: %v", p, c, err)
	c.touched = true
	switch {
	case before.fenced || before.uncertain:
		if err == nil {
			w.violate("a process that doesn't hold a channel archives it", "%s, %s", p, c)
		}
	case v.fenced: // it has learned of it
	case err != nil:
		w.explained(err, "archiving", p, c)
		if before.blind() {
			w.claimed(p, c, false)
			w.recover(t, p, c)
		}
	default:
		if len(v.chain) > 1 {
			w.stored(p, c, v)
		}
		if before.blind() {
			w.claimed(p, c, true)
		}
		w.reads(p, c, sdsaws.ArchivedHistory)
		if before.blind() {
			w.recover(t, p, c)
		}
	}
}

func (w *world) sweep(t *rapid.T) {
	p, c, _ := w.draw(t)
	w.faulty(t, p)
	_, err := p.a.Sweep(w.ctx, c.id, &sdsaws.SweepOptions{OnlyDue: rapid.Bool().Draw(t, "only due")})
	w.settle()
	w.say("%s sweeps %s: %v", p, c, err)
	w.explained(err, "a sweep", p, c)
}

func (w *world) readHistory(t *rapid.T) {
	p, c, _ := w.draw(t)
	w.sound()
	w.reads(p, c, sdsaws.AllHistory)
}

// reads expects that a part of the history is that of a state which may be stored, and returns
// those of which it is.
func (w *world) reads(p *process, c *channel, part sdsaws.HistoryPart) []*state {
	got := map[string]int{}
	for m, err := range p.a.History(w.ctx, c.id, sdsaws.HistoryRange{Part: part}) {
		if err != nil {
			w.violate("History fails without a reason", "%s, %s: %v", p, c, err)
			return c.possible
		}
		got[string(m.Encoded)]++
	}
	same := slices.DeleteFunc(slices.Clone(c.possible), func(s *state) bool {
		want := s.history()
		if part == sdsaws.ArchivedHistory {
			want = s.evicted
		}
		return !maps.Equal(got, want)
	})
	if len(same) == 0 {
		w.violate("History is not that of a state that can be stored", "part %d, %s, %s: %d messages, want those of one of %q",
			part, p, c, len(got), c.possible)
		return c.possible
	}
	return same
}

func (w *world) readMessage(t *rapid.T) {
	p, c, v := w.draw(t)
	if len(c.known) == 0 {
		t.Skip()
	}
	id := c.anyKnown(t).MessageID
	w.sound()
	m, err := p.a.Message(w.ctx, c.id, id)
	w.settle()
	w.say("%s reads %s of %s: %v", p, id, c, err)
	if err != nil && !errors.Is(err, sds.ErrNotFound) {
		w.violate("Message fails without a reason", "%s, %s: %v", p, c, err)
	}
	for _, s := range slices.Concat(c.possible, v.chain) { // a holder answers as of its own last commit
		known := false
		if live, ok := s.live[id]; ok {
			known = true
			if err == nil && live == string(m.Encoded) {
				return
			}
		} else {
			for b := range s.evicted {
				known = known || inspect(b).MessageID == id
				if err == nil && b == string(m.Encoded) {
					return
				}
			}
		}
		if !known && err != nil {
			return
		}
	}
	w.violate("Message gives another message", "%s, %s, %q: %v", p, c, id, err)
}

func (w *world) readHints(t *rapid.T) {
	p := w.any(t)
	w.sound()
	w.hintsOf(p)
}

func (w *world) hintsOf(p *process) {
	h := w.hints[p.namespace]
	ids := slices.Sorted(maps.Keys(h.values))
	got, err := p.a.Hints(w.ctx, ids...)
	if err != nil {
		w.violate("Hints fails without a reason", "%s: %v", p, err)
	}
	for _, id := range ids {
		value := string(got[id])
		expired := w.ttl > 0 && w.clock.Now().Sub(w.hintAt[p.namespace+id]) >= w.ttl/2-time.Minute
		if !h.values[id][value] && (value != "" || !expired && !h.unsure[id]) {
			w.violate("a hint is none of those that were set last", "%s, %s: %q, want one of %q", p, id, value,
				slices.Sorted(maps.Keys(h.values[id])))
		}
	}
}

func (w *world) check(t *rapid.T) {
	p, c, _ := w.draw(t)
	w.sound()
	r, err := p.a.Check(w.ctx, c.id, nil)
	w.settle()
	if err != nil || r.Has(sdsaws.Broken) {
		w.violate("a check finds something broken", "%s: %+v, %v", c, r, err)
	}
}

func (w *world) crash(t *rapid.T) {
	w.restart(t, w.any(t))
}

func (w *world) restart(t *rapid.T, p *process) {
	w.o.Counts.Crashes.Add(1)
	w.say("%s crashes, another one starts", p)
	w.kill(p)
	w.start(t, p.slot, p.namespace)
}

func (w *world) close(t *rapid.T) {
	p := w.any(t)
	w.outage(t, p)
	err := p.a.Close(w.ctx)
	w.settle()
	w.say("%s ends: %v", p, err)
	w.flushed(p, err, "closing")
	w.kill(p)
	w.start(t, p.slot, p.namespace)
}

// longEnough is more than the lag and the longest wait before a retry.
const longEnough = 2 * time.Minute

func (w *world) pass(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Millisecond, 800 * time.Millisecond, 5 * time.Second,
		longEnough, 6 * time.Hour, 25 * time.Hour}).Draw(t, "passes")
	w.sound()
	if d < longEnough {
		w.faulty(t, w.any(t))
	}
	w.say("%v pass", d)
	w.moves++
	w.clock.pass(d)
	w.settle()
	if d < longEnough {
		return
	}
	for _, p := range w.processes {
		for c, v := range p.views {
			if len(v.chain) > 1 {
				w.stored(p, c, v) // nothing has failed for longer than anything waits
			}
		}
	}
}

// setClock sets the time by less than longEnough has left over.
func (w *world) setClock(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{-10 * time.Second, 10 * time.Second, 3 * time.Hour}).Draw(t, "set")
	w.say("the clock is set by %v", d)
	w.clock.set(d)
}

func (w *world) release(*rapid.T) {
	w.say("late requests are done")
	w.released()
}
