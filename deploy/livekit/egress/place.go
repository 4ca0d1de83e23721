package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/livekit/protocol/egress"
	"github.com/livekit/protocol/livekit"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// place is where files go: this machine's disk, or a bucket that speaks S3. put gives the
// location that results name.
type place interface {
	put(name string, body io.Reader, size int64) (string, error)
}

// placeOf reads where an output goes; the first that names a bucket counts.
func placeOf(asked ...egress.UploadRequest) (place, error) {
	for _, one := range asked {
		switch {
		case one.GetS3() != nil:
			return newBucket(one.GetS3())
		case one.GetGcp() != nil || one.GetAzure() != nil || one.GetAliOSS() != nil:
			return nil, unsupported("storage other than S3")
		}
	}
	return disk{}, nil
}

func putFile(to place, name, source string) (string, int64, error) {
	file, err := os.Open(source)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil {
		return "", 0, err
	}
	where, err := to.put(name, file, about.Size())
	return where, about.Size(), err
}

func putBytes(to place, name string, body []byte) (string, error) {
	return to.put(name, bytes.NewReader(body), int64(len(body)))
}

// disk writes files in place: as with the official worker, a rewrite is not atomic.
type disk struct{}

func (disk) put(name string, body io.Reader, _ int64) (string, error) {
	where, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(where), 0o755); err != nil {
		return "", err
	}
	file, err := os.Create(where)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(file, body)
	if closing := file.Close(); err == nil {
		err = closing
	}
	return where, err
}

// uploadPatience is for one file.
const uploadPatience = 60 * time.Second

type bucket struct {
	client *minio.Client
	name   string
	base   string // of locations
}

// newBucket touches no network.
func newBucket(upload *livekit.S3Upload) (place, error) {
	region := upload.Region
	if region == "" {
		region = "us-east-1"
	}
	b := &bucket{name: upload.Bucket, base: fmt.Sprintf("https://%s.s3.%s.amazonaws.com", upload.Bucket, region)}
	endpoint, isSecure, lookup := "s3."+region+".amazonaws.com", true, minio.BucketLookupAuto
	if upload.Endpoint != "" {
		address := strings.TrimSuffix(upload.Endpoint, "/")
		if !strings.Contains(address, "://") {
			address = "https://" + address
		}
		parsed, err := url.Parse(address)
		if err != nil {
			return nil, missing("endpoint")
		}
		// A bucket behind an endpoint of one's own has, as a rule, no name in the DNS.
		endpoint, isSecure, lookup = parsed.Host, parsed.Scheme == "https", minio.BucketLookupPath
		b.base = address + "/" + upload.Bucket
	}
	if upload.ForcePathStyle {
		lookup = minio.BucketLookupPath
	}
	var err error
	b.client, err = minio.New(endpoint, &minio.Options{
		Creds:        credentials.NewStaticV4(upload.AccessKey, upload.Secret, upload.SessionToken),
		Secure:       isSecure,
		Region:       region,
		BucketLookup: lookup,
		MaxRetries:   3,
	})
	if err != nil {
		return nil, missing("endpoint")
	}
	return b, nil
}

var contentTypes = map[string]string{
	".m3u8": "application/x-mpegurl",
	".ts":   "video/mp2t",
	".mp4":  "video/mp4",
	".jpeg": "image/jpeg",
	".json": "application/json",
}

func (b *bucket) put(name string, body io.Reader, size int64) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), uploadPatience)
	defer cancel()
	key := strings.TrimPrefix(name, "/")
	_, err := b.client.PutObject(ctx, b.name, key, body, size, minio.PutObjectOptions{
		ContentType: contentTypes[path.Ext(key)],
	})
	if err != nil {
		return "", fmt.Errorf("S3 upload failed: %s: %w", minio.ToErrorResponse(err).Code, err)
	}
	return b.base + "/" + key, nil
}
