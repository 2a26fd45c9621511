-- Sends every new colour photo to the gateway, which is the modality "caries" in the configuration.
-- Answers of the gateway come back to this archive; they carry its manufacturer and are not sent.

local PHOTOS = {
  ['1.2.840.10008.5.1.4.1.1.77.1.4'] = true,    -- VL Photographic Image
  ['1.2.840.10008.5.1.4.1.1.77.1.4.1'] = true,  -- Video Photographic Image
  ['1.2.840.10008.5.1.4.1.1.77.1.1'] = true,    -- VL Endoscopic Image
  ['1.2.840.10008.5.1.4.1.1.77.1.1.1'] = true,  -- Video Endoscopic Image
  ['1.2.840.10008.5.1.4.1.1.7'] = true,         -- Secondary Capture Image
  ['1.2.840.10008.5.1.4.1.1.7.4'] = true,       -- Multi-frame True Color Secondary Capture Image
}

local COLOURS = {
  ['RGB'] = true,
  ['YBR_FULL'] = true,
  ['YBR_FULL_422'] = true,
  ['YBR_ICT'] = true,
  ['YBR_RCT'] = true,
  ['PALETTE COLOR'] = true,
}

function OnStoredInstance(instance, tags, metadata, origin)
  if PHOTOS[metadata['SopClassUid']] and COLOURS[tags['PhotometricInterpretation']]
      and tags['Manufacturer'] ~= 'caries-screen' then
    SendToModality(instance, 'caries')          -- one at a time: a table crashes Orthanc 1.10
  end
end
