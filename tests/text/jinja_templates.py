"""Chat templates of the kinds in the field, written for the tests."""

CHATML_WITH_DEFAULT = """\
{% for message in messages %}
    {% if loop.first and message['role'] != 'system' %}
<|im_start|>system
You are a drop of water.<|im_end|>
    {% endif %}
<|im_start|>{{ message['role'] }}
{{ message['content'] | trim }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""

ALTERNATING = """\
{{- bos_token -}}
{%- if messages[0].role == 'system' -%}
    {%- set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}
    {%- set rest = messages -%}
{%- endif -%}
{%- for message in rest -%}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('roles must take turns: user, assistant, user') -}}
    {%- endif -%}
    {%- if message.role == 'user' -%}
        {{- '[INST] ' + (system if loop.first else '') + message.content.strip() + ' [/INST]' -}}
    {%- else -%}
        {{- ' ' + message.content + eos_token -}}
    {%- endif -%}
{%- endfor -%}
"""

ROLE_TAGS = """\
{% for message in messages %}
{{ '<|' + message['role'] + '|>' }}
{{ message['content'] + eos_token }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}
"""

TOOLS = """\
{%- macro shown(tool) -%}
    {{- tool.function.name ~ ': ' ~ (tool.function.description | default('none')) -}}
{%- endmacro -%}
{%- set found = namespace(calls=0) -%}
{%- if tools is not none and tools -%}
    {{- '<|im_start|>system\\n# Tools\\n' -}}
    {%- for tool in tools %}{{ shown(tool) }}
{{ tool | tojson }}
{{ tool.function.parameters | tojson(indent=2) }}
{% endfor -%}
    {{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role == 'debug' %}{% continue %}{% endif -%}
    {{- '<|im_start|>' + message.role -}}
    {%- if message.name is defined %}{{ ' name=' + message.name }}{% endif -%}
    {{- '\\n' -}}
    {%- if message.tool_calls is defined -%}
        {%- for call in message.tool_calls -%}
            {%- set found.calls = found.calls + 1 -%}
            {{- '<tool_call>' + (call.function | tojson) + '</tool_call>' -}}
        {%- endfor -%}
    {%- elif message.content is string -%}
        {%- generation -%}{{- message.content -}}{%- endgeneration -%}
    {%- else -%}
        {%- for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor -%}
    {%- endif -%}
    {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if found.calls > 2 %}{{ raise_exception('too many calls: ' ~ found.calls) }}{% endif -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""

THINKING = """\
{%- for message in messages -%}
    {%- set content = message.content -%}
    {%- if message.role == 'assistant' and '</think>' in content -%}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
    {%- endif -%}
    {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
    {%- if enable_thinking is defined and not enable_thinking -%}
        {{- '<think>\\n\\n</think>\\n\\n' -}}
    {%- endif -%}
{%- endif -%}
"""

DATED = """\
{{ bos_token }}<|start_header_id|>system<|end_header_id|>

Today: {{ strftime_now('%d %b %Y') }}
{%- for message in messages %}
<|start_header_id|>{{ message.role | upper }}<|end_header_id|>

{{ message['content'] | trim }}<|eot_id|>
{%- if loop.index > 8 %}{% break %}{% endif %}
{%- endfor %}
"""

ALL = {
    "chatml": CHATML_WITH_DEFAULT,
    "alternating": ALTERNATING,
    "role tags": ROLE_TAGS,
    "tools": TOOLS,
    "thinking": THINKING,
    "dated": DATED,
}
