package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/store"
)

// permissions sends a request of each kind, about a channel that isn't there, so that conditions
// fail and nothing is changed.
func (a *onAccount) permissions(namespace string) {
	log, hints := dynamo.NewLog(a.db, a.names.state, nil), dynamo.NewHints(a.db, a.names.hints, nil)
	archive := s3archive.New(a.s3, a.names.bucket, &s3archive.Options{Prefix: a.names.prefix})
	key := store.Key{Namespace: namespace, Channel: "sdsaws-doctor-" + strings.ToLower(rand.Text())}
	var never store.CommitID
	_, _ = rand.Read(never[:]) // never fails
	head := store.Head{CommitID: never, Body: []byte{0}}
	messages := []store.Message{{ID: "x", Body: []byte{0}}}
	object := store.Object{Name: record.Folder(record.Values, key) + "none"}
	ctx := a.ctx
	for _, p := range []struct {
		actions string
		who     string // needs it, when not everybody does
		call    func() error
	}{
		{"dynamodb:GetItem", "", func() error { _, err := log.Head(ctx, key); return err }},
		{"dynamodb:Query", "", func() error { _, _, err := log.Load(ctx, key, 0); return err }},
		{"dynamodb:BatchGetItem", "", func() error { _, err := log.Messages(ctx, key, []uint64{0}); return err }},
		{"dynamodb:PutItem", "", func() error { return log.Commit(ctx, key, never, head, nil) }},
		{"dynamodb:ConditionCheckItem", "", func() error { return log.Stage(ctx, key, never, messages) }},
		{"dynamodb:UpdateItem", "", func() error { return log.Claim(ctx, key, never, store.Claim{CommitID: never}) }},
		{"dynamodb:DeleteItem", "", func() error { return log.Forget(ctx, key, never) }},
		{"dynamodb:BatchGetItem on hints", "", func() error { _, err := hints.Hints(ctx, namespace, []string{key.Channel}); return err }},
		{"dynamodb:BatchWriteItem on hints", "", func() error { return hints.DeleteHints(ctx, namespace, []string{key.Channel}) }},
		{"dynamodb:Query on index/" + dynamo.ChannelsIndex, "sweepers and the command line (--all, channels)", func() error {
			for _, err := range log.Channels(ctx, namespace) {
				return err // one tells
			}
			return nil
		}},
		{"s3:ListBucketVersions", "", func() error {
			for _, err := range archive.List(ctx, object.Name) {
				return err
			}
			return nil
		}},
		{"s3:ListBucket", "who wants to be told what is missing", func() error { _, err := archive.Get(ctx, object); return err }},
	} {
		a.permission(p.actions, p.who, p.call())
	}
	// The rest is told by the round trip, which does it.
}

func (a *onAccount) permission(actions, who string, err error) {
	check := "may " + actions
	switch {
	case err == nil, errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrMalformed):
		a.ok(check, "allowed")
	case denied(err) && who != "":
		a.warn(check, "not allowed", fmt.Sprintf("allow it to %s: docs/security.md, section 4", who))
	case denied(err):
		a.fail(check, errors.New("not allowed"), "allow it to this role: docs/security.md, section 4")
	default:
		a.fail(check, err, "")
	}
}
