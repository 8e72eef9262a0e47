package sdsaws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/store"
)

// Warm opens a connection to the log and one to the archive, so that the first operations
// don't wait for name lookups and TLS handshakes: call it where a process starts, such as in a
// Lambda's init. It reads of each what is never there: on AWS one GetItem (one read unit) and
// one GetObject, in this adapter's namespace, for which a participant has permission anyway. Retrieval hints go over the
// same connection as the log. Nothing depends on it: after an error the adapter can be
// used as if it hadn't been called. Bound it by ctx, for the clients retry.
func (a *Adapter) Warm(ctx context.Context) error {
	if err := a.check(ctx); err != nil {
		return fmt.Errorf("sdsaws: warm: %w", err)
	}
	nowhere := store.Key{Namespace: a.o.Namespace} // no channel has an empty id
	var log, archive error
	var both sync.WaitGroup
	both.Go(func() { _, log = a.log.Head(ctx, nowhere) })
	both.Go(func() {
		_, archive = a.archive.Get(ctx, store.Object{Name: record.Folder(record.Values, nowhere) + "warm"})
	})
	both.Wait()
	if notThere(archive) {
		archive = nil
	}
	if err := errors.Join(log, archive); err != nil {
		return fmt.Errorf("sdsaws: warm: %w", err)
	}
	return nil
}

// notThere reports whether an archive says that there is no such object. Who may not list a bucket is told by
// S3 that access is denied.
func notThere(err error) bool {
	var reply *smithyhttp.ResponseError
	return errors.Is(err, store.ErrNotFound) ||
		errors.As(err, &reply) && reply.HTTPStatusCode() == http.StatusForbidden
}
