"""What Orthanc has to be told of one site: who may log in, and its TLS."""

import json

from clic_edge.config.receiving import Orthanc


def archive_configuration(orthanc: Orthanc, password: str) -> str:
    """Return a file of Orthanc's configuration, to lie beside `appliance/orthanc.json`.

    It holds the password, because Orthanc reads none from anywhere else.
    """
    told: dict[str, object] = {"RegisteredUsers": {orthanc.username: password}}
    if tls := orthanc.tls:
        told |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(tls.certificate),
            "DicomTlsPrivateKey": str(tls.key),
            "DicomTlsTrustedCertificates": str(tls.ca),
            "DicomTlsRemoteCertificateRequired": tls.senders == "certified",
        }
    return json.dumps(told, indent=1) + "\n"
