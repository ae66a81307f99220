# Makes a shell script of the parts of a #cloud-config that a tiny guest knows: write_files (path, content, permissions,
# owner, append, encoding b64) and runcmd (lines, and lists of words in one line). What it does not know it says.
function quoted(text) { gsub(/'/, "'\\''", text); return "'" text "'" }

# The text of a scalar in one line.
function plain(text) {
  sub(/^[ \t]+/, "", text); sub(/[ \t]+$/, "", text)
  if (text ~ /^".*"$/) {
    text = substr(text, 2, length(text) - 2)
    gsub(/\\\\/, "\001", text); gsub(/\\"/, "\"", text); gsub(/\\n/, "\n", text); gsub(/\\t/, "\t", text); gsub(/\001/, "\\", text)
  } else if (text ~ /^'.*'$/) {
    text = substr(text, 2, length(text) - 2); gsub(/''/, "'", text)
  } else sub(/[ \t]+#.*$/, "", text)
  return text
}

# [a, "b c", 'd'] as words of a shell.
function words(text,    inside, out, word, mark, at, one) {
  sub(/^[ \t]*\[/, "", text); sub(/\][ \t]*$/, "", text)
  out = ""; word = ""; mark = ""
  for (at = 1; at <= length(text); at++) {
    one = substr(text, at, 1)
    if (mark == "" && one == ",") { out = out " " quoted(plain(word)); word = "" }
    else {
      if (mark == "\"" && one == "\\") { word = word one; at++; one = substr(text, at, 1) }
      else if (mark == "" && (one == "\"" || one == "'")) mark = one
      else if (one == mark) mark = ""
      word = word one
    }
  }
  return out " " quoted(plain(word))
}

function depth(line) { match(line, /^ */); return RLENGTH }

# One command of runcmd.
function command(text) {
  if (text ~ /^\[/) print substr(words(text), 2)
  else print plain(text)
}

# A file of write_files, complete.
function flush_file(    redirect) {
  if (file["path"] == "") return
  redirect = (file["append"] == "true") ? " >> " : " > "
  print "mkdir -p \"$(dirname " quoted(file["path"]) ")\""
  if (file["encoding"] ~ /^(b64|base64)$/) print "printf %s " quoted(file["content"]) " | base64 -d" redirect quoted(file["path"])
  else print "printf %s " quoted(file["content"]) redirect quoted(file["path"])
  if (file["permissions"] != "") print "chmod " quoted(file["permissions"]) " " quoted(file["path"])
  if (file["owner"] != "") print "chown " quoted(file["owner"]) " " quoted(file["path"])
  delete file
}

# A block scalar (| or >) has ended.
function end_block() {
  if (!in_block) return
  in_block = 0
  if (block_style !~ /-/) { sub(/\n+$/, "", block); block = block "\n" } else sub(/\n+$/, "", block)
  if (section == "write_files") file[block_key] = block
  else if (section == "runcmd") print block
}

function begin_block(key, style, indent) {
  in_block = 1; block = ""; block_key = key; block_style = style; block_parent = indent; block_indent = -1
}

function field(text, indent,    key, value) {
  key = text; sub(/:.*/, "", key); value = text; sub(/^[^:]*:[ \t]*/, "", value)
  if (value ~ /^[|>][-+]?[ \t]*$/) begin_block(key, value, indent)
  else if (value ~ /^!!binary/) { sub(/^!!binary[ \t]*\|?/, "", value); file["encoding"] = "b64"; file[key] = plain(value) }
  else file[key] = plain(value)
}

BEGIN { print "#!/bin/sh" }
{ sub(/\r$/, "") }
in_block {
  if ($0 ~ /^[ \t]*$/) { block = block "\n"; next }
  if (depth($0) > block_parent) {
    if (block_indent < 0) block_indent = depth($0)
    if (block_style ~ /^>/ && block != "") sub(/\n$/, " ", block)
    block = block substr($0, block_indent + 1) "\n"
    next
  }
  end_block()
}
/^[ \t]*(#.*)?$/ { next }
/^[A-Za-z_]/ {
  if (section == "write_files") flush_file()
  section = $0; sub(/:.*/, "", section)
  if (section !~ /^(write_files|runcmd)$/) print "echo 'tiny-init: cloud-config: " section " is not known here' > /dev/console"
  next
}
section == "runcmd" && /^ *- / {
  indent = depth($0); text = $0; sub(/^ *- +/, "", text)
  if (text ~ /^[|>][-+]?[ \t]*$/) begin_block("", text, indent)
  else command(text)
  next
}
section == "write_files" {
  indent = depth($0); text = $0; sub(/^ +/, "", text)
  if (text ~ /^- /) {
    flush_file()
    sub(/^- +/, "", text)
    indent += 2
  }
  field(text, indent)
}
END { end_block(); if (section == "write_files") flush_file() }
