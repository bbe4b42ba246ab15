# GStreamer's RTSP server as an independent camera: gst.py FILE.mp4 serves rtsp://127.0.0.1:PORT/cam and prints PORT.
# The file is looked up anew for each session, so a test may replace it. With a second and third argument it asks
# for digest authentication by that user and password.
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch("( filesrc location=%s ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )" % sys.argv[1])
factory.set_shared(False)
if len(sys.argv) > 3:
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(2)  # digest
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_digest(sys.argv[2], sys.argv[3], token)
    server.set_auth(auth)
    structure = Gst.Structure.new_empty("user")
    structure.set_value("media.factory.access", True)
    structure.set_value("media.factory.construct", True)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role_from_structure(structure)
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
