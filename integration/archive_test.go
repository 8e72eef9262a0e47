package integration_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

func newS3() *s3.Client {
	return s3.NewFromConfig(cfg, sdsaws.RetryPolicy{}.S3, func(o *s3.Options) { o.UsePathStyle = true })
}

// bucket makes a new bucket and returns its name.
func bucket(t *testing.T, versioned bool) string {
	t.Helper()
	client, name := newS3(), "it-"+strings.ToLower(rand.Text())
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	if !versioned {
		return name
	}
	if _, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket:                  &name,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestS3KeepsWhatStorePromises(t *testing.T) {
	for name, versioned := range map[string]bool{"versioned": true, "unversioned": false} {
		t.Run(name, func(t *testing.T) {
			b := bucket(t, versioned)
			storetest.TestArchive(t, func(*testing.T) store.Archive {
				return s3archive.New(newS3(), b, &s3archive.Options{Prefix: "some/prefix/"})
			})
		})
	}
}

// TestDeletedVersionsAreGone: neither a version nor a marker stays behind.
func TestDeletedVersionsAreGone(t *testing.T) {
	client, b := newS3(), bucket(t, true)
	a := s3archive.New(client, b, nil)
	o, err := a.Put(t.Context(), "x", []byte("secret"))
	if err != nil || o.Version == "" {
		t.Fatalf("%+v, %v", o, err)
	}
	// Somebody deletes it in the console: a marker hides it.
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &b, Key: aws.String("x")}); err != nil {
		t.Fatal(err)
	}
	if body, err := a.Get(t.Context(), o); err != nil || string(body) != "secret" {
		t.Errorf("a hidden version: %q, %v", body, err)
	}
	var all []store.Object
	for o, err := range a.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	if len(all) != 2 {
		t.Errorf("listed %+v, want a version and a marker", all)
	}
	if err := a.Delete(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	left, err := client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &b})
	if err != nil || len(left.Versions)+len(left.DeleteMarkers) > 0 {
		t.Errorf("%d versions and %d markers are left, %v", len(left.Versions), len(left.DeleteMarkers), err)
	}
}
