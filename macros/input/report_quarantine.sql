{#- A failing test can only say how many rows it found; this says what happened and where to look. -#}
{% macro report_quarantine(input_rows, reasons, quarantine) %}
    {#- Compiling, documenting and linting work before the first build as well. -#}
    {%- if execute and flags.WHICH in ('build', 'test') -%}
        {%- set rows = run_query('select * from ' ~ input_rows).rows[0] -%}
        {%- set commonest = run_query(
            'select rejection_reason, quarantined_rows from ' ~ reasons
            ~ ' where quarantined_rows > 0 order by quarantined_rows desc, display_order limit 3'
        ).rows -%}
        {%- set reasons_by_code = {} -%}
        {%- for reason in rejection_reasons() -%}
            {%- do reasons_by_code.update({reason.rejection_reason: reason}) -%}
        {%- endfor -%}
        {%- set share = rows['quarantined_share'] | default(0, true) -%}
        {%- set message -%}
            {{ '%.2f' | format(100 * share) }} % of the raw rows are quarantined ({{ rows['quarantined_rows'] }} of {{ rows['raw_rows'] }}; {{ '%.2f' | format(100 * var('maximum_quarantined_share')) }} % are allowed by the var maximum_quarantined_share). Commonest reasons: {% for reason in commonest %}{{ reason['rejection_reason'] }} ({{ reason['quarantined_rows'] }}){{ ', ' if not loop.last }}{% endfor %}. {% if commonest %}{{ reasons_by_code[commonest[0]['rejection_reason']].hint }}. {% endif %}The rows stand in {{ quarantine }}, and what to do about each reason in rejection_reasons.
        {%- endset -%}
        {%- if share > var('maximum_quarantined_share') -%}
            {{ exceptions.raise_compiler_error(message) }}
        {%- elif rows['quarantined_rows'] > 0 -%}
            {{ exceptions.warn(message) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
