"""A client of others for the tests: s3.py URL KEY-ID SECRET COMMAND ..., through botocore."""

import json
import sys

import botocore.session
from botocore.config import Config

url, key_id, secret, command, *rest = sys.argv[1:]
s3 = botocore.session.get_session().create_client(
    "s3",
    region_name="us-east-1",
    endpoint_url=url,
    aws_access_key_id=key_id,
    aws_secret_access_key=secret,
    config=Config(s3={"addressing_style": "path"}, proxies={}),
)
if command == "create":
    s3.create_bucket(Bucket=rest[0])
elif command == "put":
    # BUCKET, and a JSON object of texts by their keys.
    for key, text in json.loads(rest[1]).items():
        s3.put_object(Bucket=rest[0], Key=key, Body=text.encode())
elif command == "delete":
    s3.delete_object(Bucket=rest[0], Key=rest[1])
elif command == "list":
    # Each key with its content.
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=rest[0])
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    read = lambda key: s3.get_object(Bucket=rest[0], Key=key)["Body"].read().decode()
    print(json.dumps({key: read(key) for key in keys}))
elif command == "buckets":
    print(json.dumps([one["Name"] for one in s3.list_buckets()["Buckets"]]))
