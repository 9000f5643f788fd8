{#- Publishes the marts as a release after a whole build without an error; otherwise says why not,
    and what is still served. How, is a matter of the engine. -#}
{% macro publish_release(results) %}
    {%- if execute and flags.WHICH in ('build', 'run', 'test', 'seed') -%}
        {%- set own_results = results
            | selectattr('node.package_name', 'equalto', 'ott_compliance') | list -%}
        {{- adapter.dispatch('publish_release')(own_results) -}}
    {%- endif -%}
{% endmacro %}

{% macro default__publish_release(results) %}
{% endmacro %}

{% macro duckdb__publish_release(results) %}
    {#- First of all, as the database does not always answer after that. -#}
    {%- do explain_failure(results) -%}
    {%- set obstacle = reason_not_to_publish(results) -%}
    {%- set marts = {} -%}
    {%- for mart in published_marts() if not obstacle -%}
        {%- do marts.update({mart: own_node(mart).config.meta.get('kept_of', {})}) -%}
    {%- endfor -%}
    {%- set request = {
        'marts': marts, 'about': about_build(results), 'is_compact': var('compact_release')
    } -%}
    {%- if not obstacle -%}
        {#- DuckDB may call the function in any thread, which then has no part in the copying; of one
            thread only, it is that of dbt, and the function sets their number back. -#}
        {%- do request.update({'threads': run_query("select current_setting('threads')").rows[0][0]}) -%}
        {%- do run_query('set threads = 1') -%}
    {%- endif -%}
    {%- set answer = fromjson(run_query(
        'select publish_release(' ~ dbt.string_literal(dbt.escape_single_quotes(tojson(request))) ~ ')'
    ).rows[0][0]) -%}
    {%- set served -%}
        {%- if answer.served -%} Still served: release {{ answer.served }}.
        {%- else -%} No release is served yet.
        {%- endif -%}
    {%- endset -%}
    {%- if obstacle -%}
        {%- do log('Nothing published: ' ~ obstacle ~ '. ' ~ served | trim, info=true) -%}
    {%- elif answer.error -%}
        {#- The statement that the hook runs, so that it fails as a step of the run. -#}
        select error({{ dbt.string_literal(dbt.escape_single_quotes(
            'Nothing published. ' ~ answer.error ~ ' ' ~ served | trim
        )) }})
    {%- else -%}
        {%- do log(
            'Published ' ~ request.marts | length ~ ' marts (' ~ '%.1f' | format(answer.bytes / 1e6)
            ~ ' MB) as ' ~ answer.release,
            info=true
        ) -%}
    {%- endif -%}
{% endmacro %}

{#- Says in a sentence that memory or disk ran out or the database is damaged, and what to do. -#}
{% macro explain_failure(results) %}
    {%- set reasons = [] -%}
    {%- for result in results if result.status in ['error', 'fail'] and not reasons -%}
        {%- set message = result.message or '' -%}
        {%- if 'max_temp_directory_size' in message -%}
            {%- do reasons.append(
                result.node.name ~ ' ran out of disk for temporary files. Raise OTT_TEMP_LIMIT ('
                ~ env_var('OTT_TEMP_LIMIT', '90 % of what is free there')
                ~ '), make room or move them with OTT_TEMP_PATH, or raise OTT_MEMORY_LIMIT, which needs fewer'
            ) -%}
        {%- elif 'No space left on device' in message -%}
            {%- do reasons.append(
                result.node.name ~ ' ran out of disk. Make room for the work database ('
                ~ env_var('OTT_DATABASE_PATH', 'ott_build.duckdb')
                ~ ') and its temporary files, or move them with OTT_DATABASE_PATH and OTT_TEMP_PATH'
            ) -%}
        {%- elif 'Out of Memory Error' in message -%}
            {%- do reasons.append(
                result.node.name ~ ' ran out of memory. Raise OTT_MEMORY_LIMIT ('
                ~ env_var('OTT_MEMORY_LIMIT', '80 % of the memory') ~ '), or set OTT_CPU_THREADS lower, which needs less'
            ) -%}
        {%- elif 'Corrupt database file' in message or 'Could not read enough bytes' in message -%}
            {%- do reasons.append(
                result.node.name ~ ' read a damaged file. Delete the work database ('
                ~ env_var('OTT_DATABASE_PATH', 'ott_build.duckdb')
                ~ '), which the next build makes anew; if that does not help, it is one of events_source'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if reasons -%}
        {%- do log(reasons[0] ~ '. What was served before still is.', info=true) -%}
    {%- endif -%}
{% endmacro %}

{#- What keeps a run from being published, to follow "Nothing published: ", or nothing. -#}
{% macro reason_not_to_publish(results) %}
    {%- set failed = results | selectattr('status', 'in', ['fail', 'error']) | list -%}
    {%- set skipped = results | selectattr('status', 'in', ['skipped', 'partial success']) | list -%}
    {%- set options = selection_options() -%}
    {%- set took_part = results | map(attribute='node.unique_id') | list -%}
    {%- set left_out = own_nodes()
        | selectattr('resource_type', 'in', ['seed', 'model', 'test'])
        | rejectattr('unique_id', 'in', took_part)
        | map(attribute='name') | sort -%}
    {%- if flags.WHICH != 'build' -%}
        {{- return('dbt ' ~ flags.WHICH ~ ' does not build and check everything, `dbt build` does') -}}
    {%- elif failed or skipped -%}
        {{- return(
            failed | length ~ (' steps' if failed | length > 1 else ' step') ~ ' failed ('
            ~ failed[:3] | map(attribute='node.name') | join(', ')
            ~ (', ...' if failed | length > 3 else '') ~ '), '
            ~ skipped | length ~ ' were skipped'
        ) -}}
    {%- elif options and (left_out or '--empty' in options or '--sample' in options) -%}
        {{- return('a part of the project took part (' ~ options | join(', ') ~ ')') -}}
    {%- elif left_out -%}
        {{- return('these took no part: ' ~ left_out[:3] | join(', ') ~ (', ...' if left_out | length > 3 else '')) -}}
    {%- endif -%}
{% endmacro %}

{#- The options of the command that leave out a part of the project, or of its rows. -#}
{% macro selection_options() %}
    {%- set options = [] -%}
    {%- for option in [
        'select', 'exclude', 'selector', 'resource_types', 'exclude_resource_types', 'empty', 'sample'
    ] if invocation_args_dict.get(option) -%}
        {%- do options.append('--' ~ option | replace('_', '-')) -%}
    {%- endfor -%}
    {{- return(options) -}}
{% endmacro %}

{#- Names of the public models, without the row-level ones if `publish_row_level_marts` is false. -#}
{% macro published_marts() %}
    {%- set marts = [] -%}
    {%- for model in own_nodes()
        if model.resource_type == 'model' and model.access == 'public'
        and (var('publish_row_level_marts') or 'row_level' not in model.tags) -%}
        {%- do marts.append(model.name) -%}
    {%- endfor -%}
    {{- return(marts | sort) -}}
{% endmacro %}

{#- What the manifest of a release says of the build that made it. -#}
{% macro about_build(results) %}
    {%- set checks = {'passed': [], 'warned': []} -%}
    {%- for result in results if result.node.resource_type in ['test', 'unit_test'] -%}
        {%- do checks['warned' if result.status == 'warn' else 'passed'].append(result.node.name) -%}
    {%- endfor -%}
    {%- set unit_tests = results | selectattr('node.resource_type', 'equalto', 'unit_test') | list -%}
    {#- Values of vars may be secret, and the command has lost the quotes that end them. -#}
    {%- set command = modules.re.sub(
        '(?s)--vars.*', '--vars ...', invocation_args_dict.get('invocation_command') or ''
    ) -%}
    {{- return({
        'dbt': {
            'version': dbt_version,
            'invocation_id': invocation_id,
            'started_at': run_started_at.isoformat(timespec='seconds'),
            'command': command,
            'vars': invocation_args_dict.get('vars', {}) | map('string') | list,
        },
        'checks': checks,
        'unit_tests': unit_tests | length > 0 and not selection_options(),
    }) -}}
{% endmacro %}
