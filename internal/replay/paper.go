package replay

import (
	"context"
	"iter"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/store"
)

// OnPaper returns the embedded store as a backend that tells what the same calls would
// have asked of DynamoDB and of S3.
func OnPaper(s *embedded.Store, on func(dynamo.Usage), onS3 func(s3archive.Usage)) Backend {
	return paper{dynamo.Estimate(s, on), s, paperArchive{s.Archive(), onS3}}
}

type paper struct {
	dynamo.Backend
	store   *embedded.Store
	archive store.Archive
}

func (p paper) Archive() store.Archive { return p.archive }

func (p paper) Size(ctx context.Context, key store.Key) (int64, error) { return p.store.Size(ctx, key) }

type paperArchive struct {
	store.Archive
	on func(s3archive.Usage)
}

func (a paperArchive) Put(ctx context.Context, name string, body []byte) (store.Object, error) {
	a.on(s3archive.Usage{Operation: "PutObject"})
	return a.Archive.Put(ctx, name, body)
}

func (a paperArchive) Get(ctx context.Context, o store.Object) ([]byte, error) {
	a.on(s3archive.Usage{Operation: "GetObject"})
	return a.Archive.Get(ctx, o)
}

func (a paperArchive) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	a.on(s3archive.Usage{Operation: "ListObjectVersions"})
	return a.Archive.List(ctx, prefix)
}

func (a paperArchive) Delete(ctx context.Context, objects ...store.Object) error {
	a.on(s3archive.Usage{Operation: "DeleteObjects"})
	return a.Archive.Delete(ctx, objects...)
}
