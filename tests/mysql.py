"""The driver for MariaDB: Django wants mysqlclient, which needs a compiler; this one does not."""

import pymysql

pymysql.version_info = (2, 2, 7, "final", 0)  # the mysqlclient that it stands in for
pymysql.install_as_MySQLdb()
