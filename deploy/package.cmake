# A Debian package of what `make install` installs: `make package`, build/tycho_VERSION_ARCH.deb.
# Its maintainer scripts are in deploy/debian/; docs/operations.md says what they do.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME tycho)
set(CPACK_PACKAGE_VENDOR "Tycho")
set(CPACK_PACKAGE_CONTACT "Tycho maintainers <maintainers@tycho.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "flow observability for any Linux node")
set(CPACK_PACKAGE_DESCRIPTION
	"Tycho watches every network flow of a node, names it, keeps it and answers for it: with the API, the command line "
	"and the filters of Cilium's Hubble, a history in SQLite, evidence that can be verified, metrics and a web page. "
	"It needs neither Cilium nor Kubernetes.")
string(CONCAT CPACK_PACKAGE_DESCRIPTION ${CPACK_PACKAGE_DESCRIPTION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
# The libraries that the programs were linked with, and their versions; needs dpkg-shlibdeps (dpkg-dev).
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
	${PROJECT_SOURCE_DIR}/deploy/debian/postinst
	${PROJECT_SOURCE_DIR}/deploy/debian/prerm
	${PROJECT_SOURCE_DIR}/deploy/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_STRIP_FILES ON)
include(CPack)
