-- Tells the plugin who brings an instance, before the plugin's own filter decides: Orthanc 1.10
-- tells Python the AE title only, and Lua the address too. Both run in the thread of the instance.
function ReceivedInstanceFilter(dicom, origin)
  if origin['RequestOrigin'] == 'DicomProtocol' then
    RestApiPost('/clic-edge/caller', origin['RemoteIp'] .. ' ' .. origin['RemoteAet'], false)
  end
  return true
end
