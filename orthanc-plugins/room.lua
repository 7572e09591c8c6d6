-- Orthanc loads this file ("LuaScripts") and asks it of every HTTP request whether it is let in:
-- none that brings instances, by Orthanc's own way or STOW-RS (PS3.18 10.5), while the plugin does
-- not say that there is room.

local function brings_instances(method, uri)
  return method == "POST" and (
    uri:match("^/instances/?$")
    or uri:match("^/.+/studies/?$")
    or uri:match("^/.+/studies/[0-9.]+/?$")
  )
end

function IncomingHttpRequestFilter(method, uri, ip, username, headers)
  return not brings_instances(method, uri) or os.getenv("CLIC_EDGE_HAS_ROOM") == "yes"
end
