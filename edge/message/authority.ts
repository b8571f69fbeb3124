/** A host, or a host and a port; what is between the brackets of an IPv6 address is not looked at closer (RFC 3986, section 3.2.2). */
const AUTHORITY = /^[A-Za-z0-9\-._~!$&'()*+,;=%:[\]]*$/;

/**
 * False for what names no host. A name and a password before an @ are how one host is made to look like another (RFC 9110,
 * section 4.2.4), and what begins a path would be read as one by whoever puts a URL together.
 */
export function isAuthority(text: string): boolean {
  return AUTHORITY.test(text);
}
