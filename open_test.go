package sdsaws_test

import (
	"errors"
	"testing"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

// TestOpenWantsNames: with an empty name requests would go to something else.
func TestOpenWantsNames(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	all := sdsaws.Resources{State: "state", Hints: "hints", Bucket: "bucket"}
	o := &sdsaws.Options{Namespace: "alice"}
	for name, change := range map[string]func(r *sdsaws.Resources){
		"State":  func(r *sdsaws.Resources) { r.State = "" },
		"Hints":  func(r *sdsaws.Resources) { r.Hints = "" },
		"Bucket": func(r *sdsaws.Resources) { r.Bucket = "" },
	} {
		r := all
		change(&r)
		if _, err := sdsaws.Open(t.Context(), r, o); !errors.Is(err, sds.ErrInvalidArgument) {
			t.Errorf("without %s: %v, want ErrInvalidArgument", name, err)
		}
	}
	if _, err := sdsaws.Open(t.Context(), all, o); err != nil {
		t.Error(err)
	}
}
