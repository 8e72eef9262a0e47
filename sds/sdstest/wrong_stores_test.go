package sdstest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/sdsaws/sdsaws/sds"
)

// as makes a wrong store of type T.
func as[T interface {
	~struct{ *memory }
	bytesOnly
}](m *memory) bytesOnly {
	return T(struct{ *memory }{m})
}

// noting makes a wrong store of type T, which notes ids or what else it has seen.
func noting[T interface {
	~struct {
		*memory
		noted map[string]bool
	}
	bytesOnly
}](m *memory) bytesOnly {
	return T(struct {
		*memory
		noted map[string]bool
	}{m, map[string]bool{}})
}

func forgiving(err error) func(m *memory) bytesOnly {
	return func(m *memory) bytesOnly {
		m.forgives = err
		return m
	}
}

type bare struct{ *memory }

func (b bare) LoadEncodedChannel(ctx context.Context, id string) (sds.EncodedChannelData, error) {
	got, err := b.memory.LoadEncodedChannel(ctx, id)
	if bytes.Equal(got.Meta, initialMeta) {
		got.Meta = nil
	}
	return got, err
}

type losesFirst struct{ *memory }

func (l losesFirst) LoadEncodedChannel(ctx context.Context, id string) (sds.EncodedChannelData, error) {
	got, err := l.memory.LoadEncodedChannel(ctx, id)
	got.Messages = got.Messages[min(1, len(got.Messages)):]
	return got, err
}

type forgetful struct{ *memory }

func (f forgetful) LoadChannel(ctx context.Context, id string) (*sds.ChannelData, error) {
	d, err := whole{f.memory}.LoadChannel(ctx, id)
	for i := range d.MessageHistory {
		d.MessageHistory[i].RepairRequest = nil
	}
	return d, err
}

type neverFlushes struct{ *memory }

func (n neverFlushes) Flush(ctx context.Context) error {
	leave, err := n.enter(ctx)
	if err == nil {
		leave()
	}
	return err
}

type slams struct{ *memory }

func (s slams) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

type seenBefore struct {
	*memory
	noted map[string]bool
}

func (s seenBefore) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	if s.noted[id+string(meta)] {
		return nil
	}
	s.noted[id+string(meta)] = true
	return s.memory.SaveEncodedMeta(ctx, id, meta)
}

// refuses refuses some updates that are good.
type refuses struct {
	*memory
	refuse func(u sds.EncodedHistoryUpdate) error
}

func refusing(refuse func(u sds.EncodedHistoryUpdate) error) func(m *memory) bytesOnly {
	return func(m *memory) bytesOnly { return refuses{m, refuse} }
}

func emptyUpdates(u sds.EncodedHistoryUpdate) error {
	if len(u.Append)+len(u.Evict) == 0 {
		return sds.ErrEmptyUpdate
	}
	return nil
}

func largeUpdates(u sds.EncodedHistoryUpdate) error {
	for _, b := range u.Append {
		if len(b) > 100<<10 {
			return sds.ErrTooLarge
		}
	}
	return nil
}

func (r refuses) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	if err := r.refuse(u); err != nil {
		return err
	}
	return r.memory.UpdateEncodedHistory(ctx, id, u)
}

type sortsByID struct{ *memory }

func (s sortsByID) LoadEncodedChannel(ctx context.Context, id string) (sds.EncodedChannelData, error) {
	got, err := s.memory.LoadEncodedChannel(ctx, id)
	slices.SortFunc(got.Messages, func(a, b []byte) int {
		return cmp.Compare(inspect(a).MessageID, inspect(b).MessageID)
	})
	return got, err
}

// there returns what is history of a channel.
func (m *memory) there(id string) map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.channels[m.participant+"\x00"+id]; c != nil {
		return c.clone().history
	}
	return nil
}

type toggles struct{ *memory }

func (t toggles) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	history := t.there(id)
	for _, b := range u.Append {
		if bytes.Equal(history[inspect(b).MessageID], b) {
			u.Evict = append(u.Evict, inspect(b).MessageID)
		}
	}
	return t.memory.UpdateEncodedHistory(ctx, id, u)
}

// only returns the messages that keep.
func only(messages [][]byte, keep func(id string) bool) [][]byte {
	return slices.DeleteFunc(slices.Clone(messages), func(b []byte) bool { return !keep(inspect(b).MessageID) })
}

type keepsFirst struct{ *memory }

func (k keepsFirst) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	history := k.there(id)
	u.Append = only(u.Append, func(id string) bool { return history[id] == nil })
	return k.memory.UpdateEncodedHistory(ctx, id, u)
}

type knowsAll struct{ *memory }

func (k knowsAll) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	history := k.there(id)
	for _, id := range u.Evict {
		if history[id] == nil {
			return sds.ErrNotFound
		}
	}
	return k.memory.UpdateEncodedHistory(ctx, id, u)
}

type tombstones struct {
	*memory
	noted map[string]bool
}

func (t tombstones) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	u.Append = only(u.Append, func(id string) bool { return !t.noted[id] })
	for _, id := range u.Evict {
		t.noted[id] = true
	}
	return t.memory.UpdateEncodedHistory(ctx, id, u)
}

type evictsFirst struct{ *memory }

func (e evictsFirst) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	err := e.memory.UpdateEncodedHistory(ctx, id, sds.EncodedHistoryUpdate{Evict: u.Evict})
	if err != nil {
		return err
	}
	return e.memory.UpdateEncodedHistory(ctx, id, sds.EncodedHistoryUpdate{Append: u.Append})
}

type evictsLoaded struct {
	*memory
	noted map[string]bool
}

func (e evictsLoaded) LoadEncodedChannel(ctx context.Context, id string) (sds.EncodedChannelData, error) {
	got, err := e.memory.LoadEncodedChannel(ctx, id)
	for _, b := range got.Messages {
		e.noted[inspect(b).MessageID] = true
	}
	return got, err
}

func (e evictsLoaded) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	u.Evict = slices.DeleteFunc(idsOf(u.Evict), func(id string) bool { return !e.noted[id] })
	return e.memory.UpdateEncodedHistory(ctx, id, u)
}

// later stores with a flush, or never, what it was given.
type later struct {
	*memory
	never bool
	waits []func() error
}

func withAFlush(m *memory) bytesOnly { return &later{memory: m} }
func never(m *memory) bytesOnly      { return &later{memory: m, never: true} }

func (l *later) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	l.waits = append(l.waits, func() error { return l.memory.UpdateEncodedHistory(ctx, id, u) })
	return nil
}

func (l *later) CommitEncoded(ctx context.Context, id string, meta []byte, u sds.EncodedHistoryUpdate) error {
	l.waits = append(l.waits, func() error { return l.memory.CommitEncoded(ctx, id, meta, u) })
	return nil
}

func (l *later) Flush(ctx context.Context) error {
	var err error
	for _, f := range l.waits {
		if !l.never {
			err = errors.Join(err, f())
		}
	}
	l.waits = nil
	return errors.Join(err, l.memory.Flush(ctx))
}

type clears struct{ *memory }

func (c clears) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	var all []string
	for id := range c.there(id) {
		all = append(all, id)
	}
	return c.CommitEncoded(ctx, id, meta, sds.EncodedHistoryUpdate{Evict: all})
}

type leavesOut struct {
	*memory
	updates int
}

func second(m *memory) bytesOnly { return &leavesOut{memory: m} }

func (l *leavesOut) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	if l.updates++; l.updates == 2 {
		return nil
	}
	return l.memory.UpdateEncodedHistory(ctx, id, u)
}

type cuts struct{ *memory }

func (c cuts) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	defer yield(1000)
	return c.CommitEncoded(ctx, id, meta, sds.EncodedHistoryUpdate{})
}

// yield lets others run, so that what can come in between does.
func yield(n int) {
	for range n {
		runtime.Gosched()
	}
}

// drops leaves something behind, or takes too much along.
type drops struct {
	*memory
	how func(m *memory, ctx context.Context, id string) error
}

func dropping(how func(m *memory, ctx context.Context, id string) error) func(m *memory) bytesOnly {
	return func(m *memory) bytesOnly { return drops{m, how} }
}

func (d drops) DropChannel(ctx context.Context, id string) error { return d.how(d.memory, ctx, id) }

func onlySnapshot(m *memory, ctx context.Context, id string) error { //nolint:revive // a method's
	return m.CommitEncoded(ctx, id, initialMeta, sds.EncodedHistoryUpdate{})
}

func withPrefix(m *memory, ctx context.Context, id string) error { //nolint:revive // likewise
	m.mu.Lock()
	for other, c := range m.channels {
		if strings.HasPrefix(other, m.participant+"\x00"+id) {
			c.state = emptyState()
		}
	}
	m.mu.Unlock()
	return m.DropChannel(ctx, id)
}

func ifThere(m *memory, ctx context.Context, id string) error { //nolint:revive // likewise
	if len(m.there(id)) == 0 {
		return sds.ErrNotFound
	}
	return m.DropChannel(ctx, id)
}

func onlyStored(m *memory, ctx context.Context, id string) error { //nolint:revive // likewise
	meta := m.open[id]
	err := m.DropChannel(ctx, id)
	if meta != nil {
		m.open[id] = meta
	}
	return err
}

type closesDropped struct {
	*memory
	noted map[string]bool
}

func (c closesDropped) DropChannel(ctx context.Context, id string) error {
	c.noted[id] = true
	return c.memory.DropChannel(ctx, id)
}

func (c closesDropped) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	if c.noted[id] {
		return nil
	}
	return c.memory.UpdateEncodedHistory(ctx, id, u)
}

type cutsIDs struct{ *memory }

const idLimit = 1 << 10

func (c cutsIDs) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	return c.memory.SaveEncodedMeta(ctx, id[:min(idLimit, len(id))], meta)
}

func (c cutsIDs) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	return c.memory.UpdateEncodedHistory(ctx, id[:min(idLimit, len(id))], u)
}

func (c cutsIDs) LoadEncodedChannel(ctx context.Context, id string) (sds.EncodedChannelData, error) {
	return c.memory.LoadEncodedChannel(ctx, id[:min(idLimit, len(id))])
}

type textIDs struct{ *memory }

func (t textIDs) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	seen := map[string]bool{}
	u.Append = only(u.Append, func(id string) bool {
		text := strings.ToValidUTF8(id, "\ufffd")
		defer func() { seen[text] = true }()
		return !seen[text]
	})
	return t.memory.UpdateEncodedHistory(ctx, id, u)
}

type nameless struct{ *memory }

func (n nameless) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	return n.memory.SaveEncodedMeta(ctx, cmp.Or(id, "default"), meta)
}

type anyContext struct{ *memory }

func (a anyContext) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	if ctx == nil {
		ctx = context.Background()
	}
	return a.memory.SaveEncodedMeta(ctx, id, meta)
}

type discards struct{ *memory }

func (d discards) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	err := d.memory.UpdateEncodedHistory(ctx, id, u)
	if err != nil {
		d.mu.Lock()
		delete(d.open, id)
		d.mu.Unlock()
	}
	return err
}

type staysOpen struct{ *memory }

func (s staysOpen) Close(ctx context.Context) error { return s.Flush(ctx) }

// hold makes by, unless it is nil, the holder of a channel, and returns who was.
func (m *memory) hold(id string, by *memory) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.channels[m.participant+"\x00"+id]
	if c == nil {
		return nil
	}
	before := c.holder
	c.holder = cmp.Or(by, before)
	return before
}

type looks struct{ *memory }

func (l looks) LoadEncodedChannel(ctx context.Context, id string) (sds.EncodedChannelData, error) {
	before := l.hold(id, nil)
	got, err := l.memory.LoadEncodedChannel(ctx, id)
	l.hold(id, before)
	return got, err
}

type looksAtUnknown struct{ *memory }

func (l looksAtUnknown) LoadEncodedChannel(ctx context.Context, id string) (sds.EncodedChannelData, error) {
	before := l.hold(id, nil)
	got, err := l.memory.LoadEncodedChannel(ctx, id)
	if len(got.Messages) == 0 {
		l.hold(id, before)
	}
	return got, err
}

type claimsBack struct{ *memory }

func (c claimsBack) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	err := c.memory.UpdateEncodedHistory(ctx, id, u)
	if errors.Is(err, sds.ErrFenced) {
		_, _ = c.LoadEncodedChannel(ctx, id)
	}
	return err
}

type sneaks struct{ *memory }

func (s sneaks) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	holder := s.hold(id, s.memory)
	defer s.hold(id, holder)
	return s.memory.SaveEncodedMeta(ctx, id, meta)
}

func (s sneaks) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	holder := s.hold(id, s.memory)
	defer s.hold(id, holder)
	return s.memory.UpdateEncodedHistory(ctx, id, u)
}

type firstHint struct{ *memory }

func (f firstHint) SetRetrievalHint(ctx context.Context, id string, hint []byte) error {
	got, err := f.Hints(ctx, id)
	if err != nil || len(got) > 0 {
		return err
	}
	return f.memory.SetRetrievalHint(ctx, id, hint)
}

type fullHints struct{ *memory }

func (f fullHints) SetRetrievalHint(ctx context.Context, id string, hint []byte) error {
	if len(hint) == 0 {
		return nil
	}
	return f.memory.SetRetrievalHint(ctx, id, hint)
}

type keepsSlices struct{ *memory }

func (k keepsSlices) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	err := k.memory.SaveEncodedMeta(ctx, id, meta)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open[id] = meta
	return err
}

type keepsHint struct{ *memory }

func (k keepsHint) SetRetrievalHint(_ context.Context, id string, hint []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hints[k.participant+"\x00"+id] = hint
	return nil
}

type shares struct{ *memory }

func (s shares) LoadEncodedChannel(ctx context.Context, id string) (sds.EncodedChannelData, error) {
	got, err := s.memory.LoadEncodedChannel(ctx, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[s.participant+"\x00"+id]; c != nil {
		got.Meta = c.meta
	}
	return got, err
}

type oneOpen struct {
	*memory
	saves sync.Mutex // protects last
	last  []byte
}

func inOnePlace(m *memory) bytesOnly { return &oneOpen{memory: m} }

func (o *oneOpen) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	defer yield(10)
	o.saves.Lock()
	defer o.saves.Unlock()
	o.last = bytes.Clone(meta)
	return o.memory.SaveEncodedMeta(ctx, id, meta)
}

func (o *oneOpen) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	o.saves.Lock()
	defer o.saves.Unlock()
	if o.last == nil {
		return o.memory.UpdateEncodedHistory(ctx, id, u)
	}
	return o.CommitEncoded(ctx, id, o.last, u)
}

type losesUpdates struct{ *memory }

func (l losesUpdates) UpdateEncodedHistory(ctx context.Context, id string, u sds.EncodedHistoryUpdate) error {
	read := state{history: l.there(id)}
	yield(10)
	err := l.memory.UpdateEncodedHistory(ctx, id, u)
	if err != nil || read.history == nil {
		return err
	}
	read.update(u)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.channels[l.participant+"\x00"+id].history = read.history
	return nil
}

type deaf struct{ *memory }

func (d deaf) SaveEncodedMeta(ctx context.Context, id string, meta []byte) error {
	return d.memory.SaveEncodedMeta(context.WithoutCancel(ctx), id, meta)
}

type halfway struct{ *memory }

func (h halfway) CommitEncoded(ctx context.Context, id string, meta []byte, u sds.EncodedHistoryUpdate) error {
	err := h.memory.CommitEncoded(ctx, id, meta, sds.EncodedHistoryUpdate{})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}
