//! `s3s-fs` on a directory, for tests: `omnifs-s3-server ADDRESS DIRECTORY KEY-ID SECRET`. It checks the signature of
//! each request, and says the entity tag of each object in listings, as S3 does.

use async_trait::async_trait;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use std::error::Error;

struct Tagged(FileSystem);

/// The same request, as far as it matters here, of another operation.
fn asking<A, B>(request: &S3Request<A>, input: B) -> S3Request<B> {
    S3Request {
        input,
        method: request.method.clone(),
        uri: request.uri.clone(),
        headers: request.headers.clone(),
        extensions: request.extensions.clone(),
        credentials: request.credentials.clone(),
        region: request.region.clone(),
        service: request.service.clone(),
        trailing_headers: None,
    }
}

#[async_trait]
impl S3 for Tagged {
    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        self.0.list_buckets(request).await
    }

    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        self.0.create_bucket(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.0.head_object(request).await
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.0.get_object(request).await
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.0.put_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.0.delete_object(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let again = asking(&request, ());
        let bucket = request.input.bucket.clone();
        let mut response = self.0.list_objects_v2(request).await?;
        // It says so where it was asked to escape keys, and does not.
        response.output.encoding_type = None;
        for object in response.output.contents.iter_mut().flatten() {
            let input = HeadObjectInput {
                bucket: bucket.clone(),
                key: object.key.clone().unwrap_or_default(),
                ..HeadObjectInput::default()
            };
            object.e_tag = self.0.head_object(asking(&again, input)).await?.output.e_tag;
        }
        Ok(response)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, directory, key_id, secret] = &arguments[..] else {
        return Err("ADDRESS DIRECTORY KEY-ID SECRET".into());
    };
    let files = FileSystem::new(directory).map_err(|error| format!("{directory}: {error:?}"))?;
    let mut service = S3ServiceBuilder::new(Tagged(files));
    service.set_auth(SimpleAuth::from_single(key_id.as_str(), secret.as_str()));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {address}");
    let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let connection =
            server.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        tokio::spawn(connection);
    }
}
