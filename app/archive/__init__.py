"""The work of `caries detect --ray`: an archive of photos to Parquet, on the nodes of a Ray cluster.

    listing -> plan (shards of photos) -> Ray Data, one detector for each actor -> a part file for each shard

Every photo belongs to one shard of the plan, and every shard to one file, which is written in one step: a shard that is
screened again replaces its file. Its modules import packages of the extra `ray`.
"""
