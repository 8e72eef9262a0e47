// Package s3archive is a store.Archive in an S3 bucket.
//
// The bucket may be versioned; deletes are of versions, so that what is deleted is gone.
// Beside reading and writing objects it needs s3:ListBucketVersions,
// s3:GetObjectVersion and s3:DeleteObjectVersion.
package s3archive

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sdsaws/sdsaws/internal/mute"
	"github.com/sdsaws/sdsaws/store"
)

// Client is what an Archive calls; *s3.Client has it.
type Client interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	ListObjectVersions(context.Context, *s3.ListObjectVersionsInput, ...func(*s3.Options)) (
		*s3.ListObjectVersionsOutput, error)
	DeleteObjects(context.Context, *s3.DeleteObjectsInput, ...func(*s3.Options)) (*s3.DeleteObjectsOutput, error)
}

// Usage is one attempt of a request, retries included.
type Usage struct {
	Operation string // PutObject, GetObject, …
}

// Options change what an Archive does. Nil and the zero value are the defaults.
type Options struct {
	// Prefix comes before the names of all objects, for a bucket that others use too.
	Prefix string

	// OnUsage is told of each attempt. It is called by many goroutines and must not block.
	OnUsage func(Usage)
}

// Archive is a store.Archive in an S3 bucket. How long it goes on trying is up to the
// client's retryer; see the retry policy of package sdsaws.
type Archive struct {
	client Client
	bucket string
	o      Options
}

var _ store.Archive = (*Archive)(nil)

// New returns an Archive in a bucket that exists. It makes no request.
func New(client Client, bucket string, o *Options) *Archive {
	a := &Archive{client: client, bucket: bucket}
	if o != nil {
		a.o = *o
	}
	return a
}

// PathStyle is an option for clients: where an endpoint is set, it puts the bucket into
// the path, since names of buckets need not resolve there.
func PathStyle(o *s3.Options) { o.UsePathStyle = o.UsePathStyle || o.BaseEndpoint != nil }

// each returns a call option that reports every attempt of the call, and names the bucket
// when it isn't there.
func (a *Archive) each(operation string) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, a.nameMissing, mute.Errors)
		if a.o.OnUsage == nil {
			return
		}
		report := middleware.FinalizeMiddlewareFunc("sdsaws:usage", func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			a.o.OnUsage(Usage{operation})
			return next.HandleFinalize(ctx, in)
		})
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Finalize.Insert(report, "Retry", middleware.After)
		})
	}
}

func (a *Archive) nameMissing(s *middleware.Stack) error {
	return s.Initialize.Add(middleware.InitializeMiddlewareFunc("sdsaws:missing", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, meta, err := next.HandleInitialize(ctx, in)
		if api := smithy.APIError(nil); errors.As(err, &api) && api.ErrorCode() == "NoSuchBucket" {
			err = fmt.Errorf("there is no bucket %q: create it, or look at the endpoint: %w", a.bucket, err)
		}
		return out, meta, err
	}), middleware.Before)
}

func (a *Archive) key(name string) *string { return aws.String(a.o.Prefix + name) }

// version turns a version into a parameter. S3 calls that of an unversioned bucket
// "null", and takes no version at all for the current one.
func version(v string) *string {
	if v == "" {
		return nil
	}
	return &v
}

func status(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// Put implements store.Archive with one PutObject, If-None-Match: *, whose SHA-256 S3
// compares before it stores the object.
func (a *Archive) Put(ctx context.Context, name string, body []byte) (store.Object, error) {
	sum := sha256.Sum256(body)
	checksum := base64.StdEncoding.EncodeToString(sum[:])
	out, err := a.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &a.bucket, Key: a.key(name), Body: bytes.NewReader(body),
		ContentLength:     aws.Int64(int64(len(body))),
		IfNoneMatch:       aws.String("*"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		ChecksumSHA256:    &checksum,
	}, a.each("PutObject"))
	o := store.Object{Name: name, Size: int64(len(body))}
	switch {
	case err == nil:
		o.Version = aws.ToString(out.VersionId)
		return o, nil
	case status(err) == http.StatusPreconditionFailed:
		// Perhaps by an attempt of this call whose reply was lost.
		return a.same(ctx, o, body, checksum)
	}
	return o, fmt.Errorf("s3archive: put %q: %w", name, err)
}

// same returns the object that is stored under the name if it has these bytes.
func (a *Archive) same(ctx context.Context, o store.Object, body []byte, checksum string) (store.Object, error) {
	out, err := a.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &a.bucket, Key: a.key(o.Name), ChecksumMode: types.ChecksumModeEnabled,
	}, a.each("HeadObject"))
	if err != nil {
		return o, fmt.Errorf("s3archive: put %q: look at what is there: %w", o.Name, err)
	}
	o.Version, o.Size = aws.ToString(out.VersionId), aws.ToInt64(out.ContentLength)
	equal := aws.ToString(out.ChecksumSHA256) == checksum
	if out.ChecksumSHA256 == nil && o.Size == int64(len(body)) {
		stored, err := a.Get(ctx, o)
		if err != nil {
			return o, err
		}
		equal = bytes.Equal(stored, body)
	}
	if !equal {
		return o, fmt.Errorf("s3archive: put %q: %w", o.Name, store.ErrExists)
	}
	return o, nil
}

// Get implements store.Archive with one GetObject. Of an object that has another size than o it
// reads the headers alone.
func (a *Archive) Get(ctx context.Context, o store.Object) ([]byte, error) {
	out, err := a.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &a.bucket, Key: a.key(o.Name), VersionId: version(o.Version),
		ChecksumMode: types.ChecksumModeEnabled,
	}, a.each("GetObject"))
	if err != nil {
		if missing(err) {
			err = fmt.Errorf("%w: %w", store.ErrNotFound, err)
		}
		return nil, fmt.Errorf("s3archive: get %q: %w", o.Name, err)
	}
	defer out.Body.Close()
	b, err := body(out, o.Size)
	if err != nil {
		return nil, fmt.Errorf("s3archive: get %q: %w", o.Name, err)
	}
	return b, nil
}

// body reads what a GetObject gives, which must have size bytes unless that is 0.
func body(out *s3.GetObjectOutput, size int64) ([]byte, error) {
	said := aws.ToInt64(out.ContentLength)
	if size > 0 && out.ContentLength != nil && said != size {
		return nil, fmt.Errorf("%w: %d bytes, not %d", store.ErrSize, said, size)
	}
	var from io.Reader = out.Body
	if size > 0 {
		from = io.LimitReader(from, min(size, math.MaxInt64-1)+1) // where the headers don't say it
	}
	var b bytes.Buffer
	b.Grow(int(min(max(0, said), 64<<20)) + bytes.MinRead)
	if _, err := io.Copy(&b, from); err != nil {
		return nil, err
	}
	switch {
	case size > 0 && int64(b.Len()) > size:
		return nil, fmt.Errorf("%w: more than %d bytes", store.ErrSize, size)
	case out.ContentLength != nil && said != int64(b.Len()):
		return nil, fmt.Errorf("%d of %d bytes: %w", b.Len(), said, io.ErrUnexpectedEOF)
	case size > 0 && int64(b.Len()) < size:
		return nil, fmt.Errorf("%w: %d bytes, not %d", store.ErrSize, b.Len(), size)
	}
	return b.Bytes(), nil
}

// missing reports whether an error says that there is no such object or version. A
// delete marker answers 405 when it is asked for by its version.
func missing(err error) bool {
	var api smithy.APIError
	if errors.As(err, &api) && slices.Contains([]string{"NoSuchKey", "NoSuchVersion", "NotFound"}, api.ErrorCode()) {
		return true
	}
	return status(err) == http.StatusMethodNotAllowed
}

// List implements store.Archive with a ListObjectVersions for each 1000 versions.
func (a *Archive) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		input := &s3.ListObjectVersionsInput{Bucket: &a.bucket, Prefix: a.key(prefix)}
		for {
			out, err := a.client.ListObjectVersions(ctx, input, a.each("ListObjectVersions"))
			if err != nil {
				yield(store.Object{}, fmt.Errorf("s3archive: list %q: %w", prefix, err))
				return
			}
			for _, o := range a.page(out) {
				if !yield(o, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			input.KeyMarker, input.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
		}
	}
}

func (a *Archive) page(out *s3.ListObjectVersionsOutput) []store.Object {
	objects := make([]store.Object, 0, len(out.Versions)+len(out.DeleteMarkers))
	add := func(key, version *string, size int64) {
		objects = append(objects, store.Object{
			Name: strings.TrimPrefix(aws.ToString(key), a.o.Prefix), Version: aws.ToString(version), Size: size})
	}
	for _, v := range out.Versions {
		add(v.Key, v.VersionId, aws.ToInt64(v.Size))
	}
	for _, m := range out.DeleteMarkers {
		add(m.Key, m.VersionId, 0)
	}
	slices.SortStableFunc(objects, func(x, y store.Object) int { return cmp.Compare(x.Name, y.Name) })
	return objects
}

// maxDelete is how many versions S3 deletes in one request.
const maxDelete = 1000

// Delete implements store.Archive with a DeleteObjects for each 1000 versions. An object
// without a version gets, in a versioned bucket, a delete marker alone; what Put and List
// return has one.
func (a *Archive) Delete(ctx context.Context, objects ...store.Object) error {
	for part := range slices.Chunk(objects, maxDelete) {
		ids := make([]types.ObjectIdentifier, len(part))
		for i, o := range part {
			ids[i] = types.ObjectIdentifier{Key: a.key(o.Name), VersionId: version(o.Version)}
		}
		out, err := a.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &a.bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
		}, a.each("DeleteObjects"))
		if err != nil {
			return fmt.Errorf("s3archive: delete: %w", err)
		}
		for _, e := range out.Errors {
			if code := aws.ToString(e.Code); code != "NoSuchVersion" && code != "NoSuchKey" {
				return fmt.Errorf("s3archive: delete %q, one of %d that failed: %s", aws.ToString(e.Key),
					len(out.Errors), code)
			}
		}
	}
	return nil
}
