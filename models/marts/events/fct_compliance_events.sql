{# Clients read a release, which is a copy. #}
{{ config(materialized='view') }}

-- With too many rejected rows no fact is built: the quarantine and its check come first.
-- depends_on: {{ ref('quarantine_by_rejection_reason') }}
with accepted_events as (
    select * from {{ ref('int_accepted_events') }}
)

-- The contract lists the columns.
select * from accepted_events -- noqa: AM04
