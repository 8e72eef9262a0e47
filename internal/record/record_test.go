package record

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/sdsaws/sdsaws/internal/offsets"
	"github.com/sdsaws/sdsaws/store"
)

var (
	key  = store.Key{Namespace: "ns\xff", Channel: "channel\x00"}
	head = store.Head{Origin: 5, Start: 20, Next: 50}
	seg  = store.Segment{From: 5, To: 15}
)

func set(all ...uint64) (s offsets.Set) {
	for _, o := range all {
		s.Add(o)
	}
	return s
}

func value() *Value { return NewValue("prev-id-0", "version", []byte("packed")) }

func heads() map[string]*Head {
	at := time.UnixMilli(1_700_000_000_123)
	return map[string]*Head{
		"empty":    {Committed: at},
		"snapshot": {Snapshot: []byte("packed"), Live: set(20, 21, 49), History: set(7, 20, 21, 49), Committed: at, EvictedBytes: 9, EvictedSince: at},
		"buffers": {Snapshot: []byte("packed"), Messages: []uint64{30, 31, 49, 31, 20}, Envelopes: true, Against: []uint64{48, 33},
			Live: set(30), History: set(30), Committed: at, Sum: Sum{1}},
		"envelopes": {Snapshot: []byte("packed"), Messages: []uint64{20}, Envelopes: true, Committed: at, Sum: Sum{1}},
		"value":     {Value: value(), Live: set(30), History: set(30), Committed: at, Archived: 20, Digest: Digest{1, 2}},
	}
}

func manifests() map[string]*Manifest {
	at := time.UnixMilli(1_700_000_000_123)
	written := &Manifest{State: Written, Origin: 5, History: set(5, 7, 14), ArchivedAt: at, Version: "v", Size: 100,
		Sum: Sum{1}, MinLamport: 3, MaxLamport: 1 << 62}
	written.SetIDs([]string{"a", "", "\xff"})
	return map[string]*Manifest{
		"writing": {State: Writing, Origin: 5, History: set(5, 6, 9), ArchivedAt: at},
		"written": written,
		"empty":   {State: Done, ArchivedAt: at},
	}
}

func openHead(body []byte, at store.Head) (*Head, error) {
	at.Body = body
	return OpenHead(key, at)
}

func openManifest(body []byte, at store.Segment) (*Manifest, error) {
	at.Body = body
	return OpenManifest(key, at)
}

// TestWhatIsWrittenIsRead encodes, and decodes again what was encoded.
func TestWhatIsWrittenIsRead(t *testing.T) {
	for name, h := range heads() {
		body := h.Body(key, head)
		got, err := openHead(body, head)
		if err != nil || !bytes.Equal(got.Body(key, head), body) || got.Archived != h.Archived ||
			!reflect.DeepEqual(got.Value, h.Value) || got.EvictedSince != h.EvictedSince {
			t.Errorf("head %s: %+v, %v; want %+v", name, got, err, h)
		}
	}
	for name, m := range manifests() {
		body := m.Body(key, seg)
		got, err := openManifest(body, seg)
		if err != nil || !bytes.Equal(got.Body(key, seg), body) || got.State != m.State || got.Version != m.Version ||
			got.Sum != m.Sum || got.MaxLamport != m.MaxLamport || got.History.Len() != m.History.Len() {
			t.Errorf("manifest %s: %+v, %v; want %+v", name, got, err, m)
		}
	}
}

// TestEveryChangedBitIsNoticed, and that a body stands in another's place.
func TestEveryChangedBitIsNoticed(t *testing.T) {
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for name, h := range heads() {
		body := h.Body(key, head)
		for i := range len(body) * 8 {
			body[i/8] ^= 1 << (i % 8)
			_, err := openHead(body, head)
			refused(fmt.Sprintf("head %s, bit %d", name, i), err)
			body[i/8] ^= 1 << (i % 8)
		}
		for n := range body {
			_, err := openHead(body[:n], head)
			refused(fmt.Sprintf("head %s, cut to %d bytes", name, n), err)
		}
		other := head
		other.Next++
		_, err := openHead(body, other)
		refused("head with another next", err)
		other = head
		other.Body = body
		_, err = OpenHead(store.Key{Namespace: key.Namespace + "c", Channel: key.Channel[1:]}, other)
		refused("head of another channel", err)
	}
	for name, m := range manifests() {
		body := m.Body(key, seg)
		for i := range len(body) * 8 {
			body[i/8] ^= 1 << (i % 8)
			_, err := openManifest(body, seg)
			refused(fmt.Sprintf("manifest %s, bit %d", name, i), err)
			body[i/8] ^= 1 << (i % 8)
		}
		_, err := openManifest(body, store.Segment{From: seg.From, To: seg.To + 1})
		refused("manifest of another range", err)
	}
}

// TestAFilterKnowsItsIDs: none is missed, and few others are taken for one of them.
func TestAFilterKnowsItsIDs(t *testing.T) {
	const n = 1000
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("id ", i)
	}
	m := &Manifest{State: Written, History: set(5), ArchivedAt: time.UnixMilli(0), Size: 1}
	m.SetIDs(ids)
	m, err := openManifest(m.Body(key, seg), seg)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if !m.MayHold(id) {
			t.Fatalf("%q is missed", id)
		}
	}
	wrong := 0
	for i := range 1_000_000 {
		if m.MayHold(fmt.Sprint("other ", i)) {
			wrong++
		}
	}
	if t.Logf("%d of 1,000,000 other ids pass, with %d bytes for %d", wrong, len(m.filter), n); wrong > 100 {
		t.Errorf("%d of 1,000,000 other ids pass", wrong)
	}
}

func TestTrimmingForgetsWhatIsArchived(t *testing.T) {
	h := &Head{Live: set(30, 31), History: set(5, 6, 7, 8, 30, 31), EvictedBytes: 400, EvictedSince: time.UnixMilli(1)}
	h.Trim(7)
	if h.Archived != 7 || h.History.Len() != 4 || h.EvictedBytes != 200 || !h.EvictedSince.IsZero() {
		t.Errorf("%+v", h)
	}
	h.Trim(6) // never back
	h.Trim(20)
	if h.Archived != 20 || h.Evicted() != 0 || h.EvictedBytes != 0 {
		t.Errorf("%+v", h)
	}
}

// FuzzBodies opens bodies whose checksum is right whatever they hold.
func FuzzBodies(f *testing.F) {
	for _, h := range heads() {
		f.Add(h.Body(key, head)[1+headCheck:])
	}
	for _, m := range manifests() {
		f.Add(m.Body(key, seg)[1+headCheck:])
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		body := append(append([]byte{headFormat}, headSum(key, head, rest)...), rest...)
		if h, err := openHead(body, head); err == nil {
			if _, err := openHead(h.Body(key, head), head); err != nil {
				t.Errorf("a head that was opened can't be opened again: %v", err)
			}
		}
		body = append(append([]byte{manifestFormat}, manifestSum(key, seg, rest)...), rest...)
		if m, err := openManifest(body, seg); err == nil {
			m.MayHold("x")
			if _, err := openManifest(m.Body(key, seg), seg); err != nil {
				t.Errorf("a manifest that was opened can't be opened again: %v", err)
			}
		}
		if v, err := openValue(rest); err == nil && !bytes.Equal(v.append(nil), rest) {
			t.Error("a reference to a value isn't encoded as it was")
		}
	})
}
