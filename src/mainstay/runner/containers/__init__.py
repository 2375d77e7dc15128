"""Jobs in containers, and services beside them, by podman or docker: whichever works on the machine."""
