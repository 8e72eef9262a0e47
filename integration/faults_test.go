package integration_test

import (
	"context"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/integration/httpfault"
	"github.com/sdsaws/sdsaws/internal/ordeal"
	"github.com/sdsaws/sdsaws/internal/ordeal/ordealtest"
	"github.com/sdsaws/sdsaws/sds"
)

// faultSites are played on at once: more of them only wait for LocalStack.
const faultSites = 3

// TestEveryRequestFails plays a scenario of every flow once for each of its HTTP requests and each
// fault that the request can have: see package httpfault. By itself it plays a part,
// whose seed it prints; make faults plays all.
func TestEveryRequestFails(t *testing.T) {
	var sites []ordeal.Site
	for range faultSites {
		sites = append(sites, faultSite(t))
	}
	ordealtest.Run(t, 60, sites...)
}

func faultSite(t *testing.T) *httpfault.Site {
	t.Helper()
	s, err := httpfault.NewSite(t.Context(), cfg, dynamoDB)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestALateRequestIsDoneWhenItIsReleased: until then it has failed, as far as anybody can see.
func TestALateRequestIsDoneWhenItIsReleased(t *testing.T) {
	s := faultSite(t)
	first := adapter(t, s.Backend(nil), "alice")
	add := func(a *sdsaws.Adapter, id string) error {
		return a.Commit(t.Context(), chat, &sds.ChannelMeta{SchemaVersion: 1}, &sds.HistoryUpdate{Append: []sds.Message{{MessageID: id}}})
	}
	if err := add(first, "m1"); err != nil {
		t.Fatal(err)
	}
	slow := adapter(t, s.Backend(func(op string) ordeal.Fault {
		if op == "TransactWriteItems" {
			return ordeal.Late
		}
		return ordeal.None
	}), "alice")
	if err := add(slow, "m2"); err == nil {
		t.Fatal("a late commit has succeeded")
	}
	for _, want := range []int{1, 2} {
		n, err := s.Stored(t.Context(), "alice")
		if err != nil || n["message"] != want || n["head"] != 1 || n["object"] != 0 {
			t.Fatalf("%v, %v; want %d messages", n, err, want)
		}
		if want == 1 {
			s.Release()
		}
	}
	if n, err := s.Stored(t.Context(), "bob"); err != nil || n["message"]+n["head"] > 0 {
		t.Errorf("of another namespace: %v, %v", n, err)
	}
}
