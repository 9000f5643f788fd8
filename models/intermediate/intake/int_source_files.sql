-- A fingerprint that no build has seen makes a source be read whole: one that is no files, and
-- files of which nothing tells whether they changed.
with files as (
    {{ files_of_source() }}
),

fingerprints as (
    select
        source_file,
        file_version,
        file_rows,
        {{ hash_of_text(
            "concat_ws(' ', coalesce(file_version, " ~ as_text('uuid()') ~ '), source_file)'
        ) }} as fingerprint
    from files
)

select * from fingerprints
